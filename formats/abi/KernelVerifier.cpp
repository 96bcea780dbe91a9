#include "formats/abi/KernelVerifier.h"

#include <algorithm>
#include <iterator>

namespace kimic::abi {
namespace {

enum Section : std::uint8_t { Custom = 0, Type = 1, Import = 2, Function = 3, Export = 7, Code = 10 };
enum ValueType : std::uint8_t { I32 = 0x7F, F32 = 0x7D, V128 = 0x7B, NoValue = 0x40 };

/// What follows an opcode.
enum class Immediate : std::uint8_t {
  None,
  Block,      // block type; opens a block
  Else,       // closes the then part
  End,        // closes a block
  Label,      // branch depth
  Local,      // index of a local
  Memory,     // alignment and offset
  MemoryLane, // alignment, offset and lane
  I32,        // signed LEB128
  Bytes4,
  Bytes16,
  Shuffle, // 16 lanes
  Lane,
};

constexpr std::uint32_t kSaturatingPrefix = 0xFC, kVectorPrefix = 0xFD;
/// Opcodes behind a prefix are numbered from here on.
constexpr std::uint32_t kVector = 0x200, kRelaxed = kVector + 0x100, kSaturating = 0x400, kLastBehindPrefix = 0x1FF;

/// Opcodes first..last are allowed and have the same immediate. `width` is the log2 of the access size, or of the
/// number of lanes.
struct Allowed {
  constexpr Allowed(std::uint32_t first, std::uint32_t last, Immediate immediate, unsigned width)
      : first(static_cast<std::uint16_t>(first)), more(static_cast<std::uint8_t>(last - first)),
        immediateAndWidth(static_cast<std::uint8_t>(static_cast<unsigned>(immediate) << 4 | width)) {}

  std::uint32_t last() const { return std::uint32_t{first} + more; }
  Immediate immediate() const { return static_cast<Immediate>(immediateAndWidth >> 4); }
  unsigned width() const { return immediateAndWidth & 15; }

  std::uint16_t first;
  std::uint8_t more, immediateAndWidth;
};

// No i64, f64, calls, tables, globals, memory.size, memory.grow, bulk memory; nothing that traps but memory accesses.
constexpr Allowed kOpcodes[] = {
    {0x02, 0x04, Immediate::Block, 0},  // block, loop, if
    {0x05, 0x05, Immediate::Else, 0},   // else
    {0x0B, 0x0B, Immediate::End, 0},    // end
    {0x0C, 0x0D, Immediate::Label, 0},  // br, br_if
    {0x0F, 0x0F, Immediate::None, 0},   // return
    {0x1A, 0x1B, Immediate::None, 0},   // drop, select
    {0x20, 0x22, Immediate::Local, 0},  // local.get, local.set, local.tee
    {0x28, 0x28, Immediate::Memory, 2}, // i32.load
    {0x2A, 0x2A, Immediate::Memory, 2}, // f32.load
    {0x2C, 0x2D, Immediate::Memory, 0}, // i32.load8_s, i32.load8_u
    {0x2E, 0x2F, Immediate::Memory, 1}, // i32.load16_s, i32.load16_u
    {0x36, 0x36, Immediate::Memory, 2}, // i32.store
    {0x38, 0x38, Immediate::Memory, 2}, // f32.store
    {0x3A, 0x3A, Immediate::Memory, 0}, // i32.store8
    {0x3B, 0x3B, Immediate::Memory, 1}, // i32.store16
    {0x41, 0x41, Immediate::I32, 0},    // i32.const
    {0x43, 0x43, Immediate::Bytes4, 0}, // f32.const
    {0x45, 0x4F, Immediate::None, 0},   // i32.eqz, i32 comparisons
    {0x5B, 0x60, Immediate::None, 0},   // f32 comparisons
    {0x67, 0x6C, Immediate::None, 0},   // i32.clz, ctz, popcnt, add, sub, mul
    {0x71, 0x78, Immediate::None, 0},   // i32.and, or, xor, shifts, rotations
    {0x8B, 0x98, Immediate::None, 0},   // f32.abs .. f32.copysign
    {0xB2, 0xB3, Immediate::None, 0},   // f32.convert_i32_s, f32.convert_i32_u
    {0xBC, 0xBC, Immediate::None, 0},   // i32.reinterpret_f32
    {0xBE, 0xBE, Immediate::None, 0},   // f32.reinterpret_i32
    {0xC0, 0xC1, Immediate::None, 0},   // i32.extend8_s, i32.extend16_s

    // After the prefix 0xFD. No lanes of 64 bits but in loads, stores and shuffles.
    {kVector + 0x00, kVector + 0x00, Immediate::Memory, 4},     // v128.load
    {kVector + 0x01, kVector + 0x06, Immediate::Memory, 3},     // v128.load8x8_s .. v128.load32x2_u
    {kVector + 0x07, kVector + 0x07, Immediate::Memory, 0},     // v128.load8_splat
    {kVector + 0x08, kVector + 0x08, Immediate::Memory, 1},     // v128.load16_splat
    {kVector + 0x09, kVector + 0x09, Immediate::Memory, 2},     // v128.load32_splat
    {kVector + 0x0A, kVector + 0x0A, Immediate::Memory, 3},     // v128.load64_splat
    {kVector + 0x0B, kVector + 0x0B, Immediate::Memory, 4},     // v128.store
    {kVector + 0x0C, kVector + 0x0C, Immediate::Bytes16, 0},    // v128.const
    {kVector + 0x0D, kVector + 0x0D, Immediate::Shuffle, 0},    // i8x16.shuffle
    {kVector + 0x0E, kVector + 0x11, Immediate::None, 0},       // i8x16.swizzle, i8x16.splat, i16x8.splat, i32x4.splat
    {kVector + 0x13, kVector + 0x13, Immediate::None, 0},       // f32x4.splat
    {kVector + 0x15, kVector + 0x17, Immediate::Lane, 4},       // i8x16 lanes
    {kVector + 0x18, kVector + 0x1A, Immediate::Lane, 3},       // i16x8 lanes
    {kVector + 0x1B, kVector + 0x1C, Immediate::Lane, 2},       // i32x4 lanes
    {kVector + 0x1F, kVector + 0x20, Immediate::Lane, 2},       // f32x4 lanes
    {kVector + 0x23, kVector + 0x46, Immediate::None, 0},       // comparisons of i8x16, i16x8, i32x4, f32x4
    {kVector + 0x4D, kVector + 0x53, Immediate::None, 0},       // v128.not .. v128.any_true
    {kVector + 0x54, kVector + 0x54, Immediate::MemoryLane, 0}, // v128.load8_lane
    {kVector + 0x55, kVector + 0x55, Immediate::MemoryLane, 1}, // v128.load16_lane
    {kVector + 0x56, kVector + 0x56, Immediate::MemoryLane, 2}, // v128.load32_lane
    {kVector + 0x57, kVector + 0x57, Immediate::MemoryLane, 3}, // v128.load64_lane
    {kVector + 0x58, kVector + 0x58, Immediate::MemoryLane, 0}, // v128.store8_lane
    {kVector + 0x59, kVector + 0x59, Immediate::MemoryLane, 1}, // v128.store16_lane
    {kVector + 0x5A, kVector + 0x5A, Immediate::MemoryLane, 2}, // v128.store32_lane
    {kVector + 0x5B, kVector + 0x5B, Immediate::MemoryLane, 3}, // v128.store64_lane
    {kVector + 0x5C, kVector + 0x5C, Immediate::Memory, 2},     // v128.load32_zero
    {kVector + 0x5D, kVector + 0x5D, Immediate::Memory, 3},     // v128.load64_zero
    {kVector + 0x60, kVector + 0x73, Immediate::None, 0}, // i8x16.abs .. i8x16.sub_sat_u, f32x4.ceil .. f32x4.nearest
    {kVector + 0x76, kVector + 0x79, Immediate::None, 0}, // i8x16.min_s .. i8x16.max_u
    {kVector + 0x7B, kVector + 0x93, Immediate::None, 0}, // i8x16.avgr_u, extadd_pairwise, i16x8.abs .. i16x8.sub_sat_u
    {kVector + 0x95, kVector + 0x99, Immediate::None, 0}, // i16x8.mul .. i16x8.max_u
    {kVector + 0x9B, kVector + 0xA1, Immediate::None, 0}, // i16x8.avgr_u .. i32x4.neg
    {kVector + 0xA3, kVector + 0xA4, Immediate::None, 0}, // i32x4.all_true, i32x4.bitmask
    {kVector + 0xA7, kVector + 0xAE, Immediate::None, 0}, // i32x4.extend_low_i16x8_s .. i32x4.add
    {kVector + 0xB1, kVector + 0xB1, Immediate::None, 0}, // i32x4.sub
    {kVector + 0xB5, kVector + 0xBA, Immediate::None, 0}, // i32x4.mul .. i32x4.dot_i16x8_s
    {kVector + 0xBC, kVector + 0xBF, Immediate::None, 0}, // i32x4.extmul
    {kVector + 0xE0, kVector + 0xE1, Immediate::None, 0}, // f32x4.abs, f32x4.neg
    {kVector + 0xE3, kVector + 0xEB, Immediate::None, 0}, // f32x4.sqrt .. f32x4.pmax
    {kVector + 0xF8, kVector + 0xFB, Immediate::None, 0}, // i32x4.trunc_sat_f32x4, f32x4.convert_i32x4

    // The relaxed instructions whose result is determined when one operand has 7 bits.
    {kRelaxed + 0x12, kRelaxed + 0x13, Immediate::None,
     0}, // i16x8.relaxed_dot_i8x16_i7x16_s, i32x4.relaxed_dot_i8x16_i7x16_add_s

    // After the prefix 0xFC.
    {kSaturating + 0x00, kSaturating + 0x01, Immediate::None, 0}, // i32.trunc_sat_f32_s, i32.trunc_sat_f32_u
};

const Allowed *find(std::uint32_t opcode) {
  const Allowed *row = std::lower_bound(std::begin(kOpcodes), std::end(kOpcodes), opcode,
                                        [](const Allowed &entry, std::uint32_t code) { return entry.last() < code; });
  return row != std::end(kOpcodes) && row->first <= opcode ? row : nullptr;
}

/// Reads a module front to back. The first failure stays, with its place; after it, reads yield 0 and go nowhere.
class ModuleVerifier {
public:
  ModuleVerifier(std::span<const std::uint8_t> bytes, std::uint32_t kernels, Variant variant)
      : bytes_(bytes), end_(bytes.size()), kernels_(kernels), variant_(variant) {}

  Result<void> verify();

private:
  bool failed() const { return error_.id != ErrorId::None; }
  void fail(ErrorId id, std::uint64_t b = 0, std::uint64_t c = 0) { failAt(position_, id, b, c); }
  [[gnu::noinline]] void failAt(std::size_t position, ErrorId id, std::uint64_t b = 0, std::uint64_t c = 0) {
    if (!failed())
      error_ = makeError(id, position, b, c);
  }

  std::uint8_t byte();
  std::uint32_t unsignedNumber();
  void signedNumber();
  void skip(std::size_t count);
  /// Reads one number or byte that may have only one value.
  void expectNumber(std::uint32_t expected, ErrorId id);
  void expectByte(std::uint8_t expected, ErrorId id);
  void expectName(const char *prefix, ErrorId id, std::uint32_t index = kNoIndex);

  void customSection();
  void typeSection();
  void importSection();
  void functionSection();
  void exportSection();
  void codeSection();
  void body();
  void instructions(std::uint32_t locals);
  const Allowed *opcode();
  void memoryAccess(unsigned width);
  void lane(unsigned lanes);
  bool isValueType(std::uint8_t type) const {
    return type == I32 || type == F32 || (type == V128 && variant_ != Variant::Scalar);
  }

  static constexpr std::uint32_t kNoIndex = 0xFFFFFFFFu;

  std::span<const std::uint8_t> bytes_;
  std::size_t position_ = 0;
  std::size_t end_; ///< of what is being read: module, section or body
  std::uint32_t kernels_;
  Variant variant_;
  Error error_;
};

std::uint8_t ModuleVerifier::byte() {
  if (failed())
    return 0;
  if (position_ == end_) {
    fail(ErrorId::KernelTruncated);
    return 0;
  }
  return bytes_[position_++];
}

/// An unsigned LEB128 of at most 32 bits in its shortest form.
std::uint32_t ModuleVerifier::unsignedNumber() {
  std::size_t start = position_;
  std::uint32_t value = 0;
  for (unsigned shift = 0; shift < 35; shift += 7) {
    std::uint8_t b = byte();
    if (failed())
      return 0;
    bool overflows = shift == 28 && b > 0x0F;
    bool isPadded = shift > 0 && b == 0;
    if (overflows || isPadded)
      break;
    value |= static_cast<std::uint32_t>(b & 0x7F) << shift;
    if (b < 0x80)
      return value;
  }
  failAt(start, ErrorId::KernelNumber);
  return 0;
}

/// A signed LEB128 of at most 32 bits in its shortest form.
void ModuleVerifier::signedNumber() {
  std::size_t start = position_;
  std::uint8_t previous = 0;
  for (unsigned shift = 0; shift < 35; shift += 7) {
    std::uint8_t b = byte();
    if (failed())
      return;
    bool overflows = shift == 28 && b > 0x07 && (b < 0x78 || b > 0x7F);
    bool isPadded = shift > 0 && b == ((previous & 0x40) ? 0x7F : 0x00);
    if (overflows || isPadded)
      break;
    if (b < 0x80)
      return;
    previous = b;
  }
  failAt(start, ErrorId::KernelNumber);
}

void ModuleVerifier::skip(std::size_t count) {
  if (failed())
    return;
  if (count > end_ - position_)
    fail(ErrorId::KernelTruncated);
  else
    position_ += count;
}

void ModuleVerifier::expectNumber(std::uint32_t expected, ErrorId id) {
  std::size_t start = position_;
  std::uint32_t found = unsignedNumber();
  if (found != expected)
    failAt(start, id, found, expected);
}

void ModuleVerifier::expectByte(std::uint8_t expected, ErrorId id) {
  std::size_t start = position_;
  std::uint8_t found = byte();
  if (found != expected)
    failAt(start, id, found, expected);
}

/// A name: `prefix`, followed by the decimal digits of `index` if there is one.
void ModuleVerifier::expectName(const char *prefix, ErrorId id, std::uint32_t index) {
  char digits[10];
  unsigned digitCount = 0;
  if (index != kNoIndex)
    do {
      digits[digitCount++] = static_cast<char>('0' + index % 10);
      index /= 10;
    } while (index > 0);
  std::uint32_t length = digitCount;
  for (const char *c = prefix; *c; ++c)
    ++length;
  expectNumber(length, id);
  for (const char *c = prefix; *c; ++c)
    expectByte(static_cast<std::uint8_t>(*c), id);
  while (digitCount > 0)
    expectByte(static_cast<std::uint8_t>(digits[--digitCount]), id);
}

void ModuleVerifier::customSection() {
  expectName(kCustomSection, ErrorId::KernelCustomSection);
  expectByte(kVersion, ErrorId::KernelVersion);
}

void ModuleVerifier::typeSection() {
  expectNumber(1, ErrorId::KernelType);
  expectByte(0x60, ErrorId::KernelType);
  expectNumber(kParameterCount, ErrorId::KernelType);
  for (std::uint32_t i = 0; i < kParameterCount; ++i)
    expectByte(I32, ErrorId::KernelType);
  expectNumber(0, ErrorId::KernelType);
}

void ModuleVerifier::importSection() {
  constexpr std::uint8_t kMemory = 2, kNoMaximum = 0;
  expectNumber(1, ErrorId::KernelImport);
  expectName(kImportModule, ErrorId::KernelImport);
  expectName(kImportMemory, ErrorId::KernelImport);
  expectByte(kMemory, ErrorId::KernelImport);
  expectByte(kNoMaximum, ErrorId::KernelImport);
  expectNumber(0, ErrorId::KernelImport);
}

void ModuleVerifier::functionSection() {
  expectNumber(kernels_, ErrorId::KernelCount);
  for (std::uint32_t i = 0; i < kernels_ && !failed(); ++i)
    expectNumber(0, ErrorId::KernelType);
}

void ModuleVerifier::exportSection() {
  constexpr std::uint8_t kFunction = 0;
  expectNumber(kernels_, ErrorId::KernelCount);
  for (std::uint32_t i = 0; i < kernels_ && !failed(); ++i) {
    expectName(kExportPrefix, ErrorId::KernelExport, i);
    expectByte(kFunction, ErrorId::KernelExport);
    expectNumber(i, ErrorId::KernelExport);
  }
}

void ModuleVerifier::codeSection() {
  expectNumber(kernels_, ErrorId::KernelCount);
  std::size_t sectionEnd = end_;
  for (std::uint32_t i = 0; i < kernels_ && !failed(); ++i) {
    std::size_t start = position_;
    std::uint32_t size = unsignedNumber();
    if (size > kMaxBodyBytes)
      failAt(start, ErrorId::KernelTooLarge, size, kMaxBodyBytes);
    if (size > sectionEnd - position_)
      failAt(start, ErrorId::KernelTruncated);
    if (failed())
      return;
    end_ = position_ + size;
    body();
    if (position_ != end_)
      fail(ErrorId::KernelTrailingBytes, end_);
    end_ = sectionEnd;
  }
}

void ModuleVerifier::body() {
  std::uint64_t locals = kParameterCount;
  std::uint32_t runs = unsignedNumber();
  for (std::uint32_t i = 0; i < runs && !failed(); ++i) {
    std::size_t start = position_;
    locals += unsignedNumber();
    if (locals > kMaxLocals)
      failAt(start, ErrorId::KernelTooManyLocals, locals, kMaxLocals);
    start = position_;
    std::uint8_t type = byte();
    if (!isValueType(type))
      failAt(start, ErrorId::KernelValueType, type);
  }
  if (!failed())
    instructions(static_cast<std::uint32_t>(locals));
}

/// Reads an opcode; null after a failure.
const Allowed *ModuleVerifier::opcode() {
  std::size_t start = position_;
  std::uint8_t first = byte();
  std::uint32_t code = first, number = first;
  if (first == kSaturatingPrefix || first == kVectorPrefix) {
    code = unsignedNumber();
    number = (first == kVectorPrefix ? kVector : kSaturating) + std::min(code, kLastBehindPrefix);
  }
  // A variant has the ones before it, and 0x100 vector instructions more.
  const std::uint32_t end = kVector + 0x100 * (static_cast<std::uint32_t>(variant_) - 1);
  const Allowed *allowed = number >= end && number < kSaturating ? nullptr : find(number);
  if (!allowed)
    failAt(start, ErrorId::KernelInstruction, first, code);
  return failed() ? nullptr : allowed;
}

void ModuleVerifier::memoryAccess(unsigned width) {
  std::size_t start = position_;
  std::uint32_t alignment = unsignedNumber();
  if (alignment > width)
    failAt(start, ErrorId::KernelAlignment, alignment, width);
  unsignedNumber();
}

void ModuleVerifier::lane(unsigned lanes) {
  std::size_t start = position_;
  std::uint8_t index = byte();
  if (index >= lanes)
    failAt(start, ErrorId::KernelIndex, index, lanes);
}

/// The instructions of a body, up to the `end` that closes it.
void ModuleVerifier::instructions(std::uint32_t locals) {
  constexpr std::uint8_t kIf = 0x04;
  // Bit d says whether the block at depth d is an `if` whose `else` may still come. Depth 0 is the body itself.
  static_assert(kMaxNesting <= 64);
  std::uint64_t mayHaveElse = 0;
  unsigned depth = 1;
  while (depth > 0) {
    std::size_t start = position_;
    const Allowed *allowed = opcode();
    if (!allowed)
      return;
    switch (allowed->immediate()) {
    case Immediate::None:
      break;
    case Immediate::Block: {
      if (depth == kMaxNesting)
        return failAt(start, ErrorId::KernelNesting, kMaxNesting);
      std::uint64_t bit = std::uint64_t{1} << depth++;
      mayHaveElse = bytes_[start] == kIf ? mayHaveElse | bit : mayHaveElse & ~bit;
      std::size_t typePosition = position_;
      std::uint8_t type = byte();
      if (type != NoValue && !isValueType(type))
        failAt(typePosition, ErrorId::KernelValueType, type);
      break;
    }
    case Immediate::Else: {
      std::uint64_t bit = std::uint64_t{1} << (depth - 1);
      if (!(mayHaveElse & bit))
        failAt(start, ErrorId::KernelElse);
      mayHaveElse &= ~bit;
      break;
    }
    case Immediate::End:
      --depth;
      break;
    case Immediate::Label: {
      std::uint32_t label = unsignedNumber();
      if (label >= depth)
        failAt(start, ErrorId::KernelIndex, label, depth);
      break;
    }
    case Immediate::Local: {
      std::uint32_t local = unsignedNumber();
      if (local >= locals)
        failAt(start, ErrorId::KernelIndex, local, locals);
      break;
    }
    case Immediate::Memory:
      memoryAccess(allowed->width());
      break;
    case Immediate::MemoryLane:
      memoryAccess(allowed->width());
      lane(16u >> allowed->width());
      break;
    case Immediate::I32:
      signedNumber();
      break;
    case Immediate::Bytes4:
      skip(4);
      break;
    case Immediate::Bytes16:
      skip(16);
      break;
    case Immediate::Shuffle:
      for (unsigned i = 0; i < 16; ++i)
        lane(32);
      break;
    case Immediate::Lane:
      lane(1u << allowed->width());
      break;
    }
  }
}

Result<void> ModuleVerifier::verify() {
  constexpr std::uint8_t kHeader[] = {0x00, 0x61, 0x73, 0x6D, 0x01, 0x00, 0x00, 0x00};
  if (bytes_.size() > kMaxModuleBytes)
    return makeError(ErrorId::KernelTooLarge, 0, bytes_.size(), kMaxModuleBytes);
  if (kernels_ == 0 || kernels_ > kMaxKernels)
    return makeError(ErrorId::KernelCount, 0, kernels_, kMaxKernels);
  for (std::uint8_t expected : kHeader)
    expectByte(expected, ErrorId::KernelHeader);

  constexpr struct {
    Section section;
    void (ModuleVerifier::*read)();
  } kSections[] = {{Type, &ModuleVerifier::typeSection},
                   {Import, &ModuleVerifier::importSection},
                   {Function, &ModuleVerifier::functionSection},
                   {Export, &ModuleVerifier::exportSection},
                   {Code, &ModuleVerifier::codeSection}};
  std::size_t next = 0;
  bool hasCustom = false;
  while (!failed() && (next < std::size(kSections) || position_ < bytes_.size())) {
    std::size_t start = position_;
    std::uint8_t id = byte();
    std::uint32_t size = unsignedNumber();
    if (size > bytes_.size() - position_)
      failAt(start, ErrorId::KernelTruncated);
    if (failed())
      break;
    bool isCustom = id == Custom && !hasCustom;
    bool isNext = next < std::size(kSections) && id == kSections[next].section;
    if (!isCustom && !isNext) {
      failAt(start, ErrorId::KernelSection, id);
      break;
    }
    end_ = position_ + size;
    if (isCustom) {
      hasCustom = true;
      customSection();
    } else {
      (this->*kSections[next++].read)();
    }
    if (position_ != end_)
      fail(ErrorId::KernelTrailingBytes, end_);
    end_ = bytes_.size();
  }
  if (failed())
    return error_;
  return {};
}

} // namespace

Result<void> verifyKernelModule(std::span<const std::uint8_t> bytes, std::uint32_t kernels, Variant variant) {
  return ModuleVerifier(bytes, kernels, variant).verify();
}

} // namespace kimic::abi
