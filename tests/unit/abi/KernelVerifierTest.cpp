#include "formats/abi/KernelVerifier.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>

namespace kimic::abi {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes varint(std::uint64_t value) {
  Bytes bytes;
  for (; value >= 0x80; value >>= 7)
    bytes.push_back(static_cast<std::uint8_t>(value | 0x80));
  bytes.push_back(static_cast<std::uint8_t>(value));
  return bytes;
}

Bytes operator+(Bytes a, const Bytes &b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes name(const std::string &text) { return varint(text.size()) + Bytes(text.begin(), text.end()); }
Bytes section(std::uint8_t id, const Bytes &contents) { return Bytes{id} + varint(contents.size()) + contents; }

/// The parts of a module, each to be replaced by a test.
struct Module {
  Bytes header = {0, 'a', 's', 'm', 1, 0, 0, 0};
  Bytes custom;
  Bytes type = {1, 0x60, 5, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0};
  Bytes import = Bytes{1} + name("env") + name("memory") + Bytes{2, 0, 0};
  Bytes function, exports, code;
  Bytes tail;

  explicit Module(const std::vector<Bytes> &bodies) {
    function = exports = code = varint(bodies.size());
    for (std::size_t i = 0; i < bodies.size(); ++i) {
      function = function + Bytes{0};
      exports = exports + name("k" + std::to_string(i)) + Bytes{0} + varint(i);
      code = code + varint(bodies[i].size()) + bodies[i];
    }
  }

  Bytes bytes() const {
    return header + custom + section(1, type) + section(2, import) + section(3, function) + section(7, exports) +
           section(10, code) + tail;
  }
};

const Bytes kEmptyBody = {0, 0x0B};

Bytes bodyOf(const Bytes &instructions) { return Bytes{0} + instructions + Bytes{0x0B}; }

Error errorOf(const Bytes &bytes, Variant variant = Variant::Simd128, std::uint32_t kernels = 1) {
  Result<void> result = verifyKernelModule(bytes, kernels, variant);
  return result.ok() ? Error{} : result.error();
}
ErrorId idOf(const Bytes &bytes, Variant variant = Variant::Simd128, std::uint32_t kernels = 1) {
  return errorOf(bytes, variant, kernels).id;
}
ErrorId idOfBody(const Bytes &instructions, Variant variant = Variant::Simd128) {
  return idOf(Module({bodyOf(instructions)}).bytes(), variant);
}
ErrorId idWith(const std::function<void(Module &)> &change) {
  Module module({kEmptyBody});
  change(module);
  return idOf(module.bytes());
}

/// y[i] = x[i] * 2 + v128 sum of nothing, in a loop: a bit of everything that kernels use.
const Bytes kRichBody = {2,    2,    0x7F, 1,    0x7D,                         // locals: 2 i32 (5, 6), 1 f32 (7)
                         0x20, 1,    0x21, 5,                                  // local 5 = x
                         0x02, 0x40,                                           // block
                         0x03, 0x40,                                           //   loop
                         0x20, 4,    0x45, 0x0D, 1,                            //     br_if 1 (rows == 0)
                         0x20, 2,    0x20, 5,    0x2A, 2,    0,                //     y, f32.load x
                         0x43, 0,    0,    0,    0x40, 0x94, 0x38, 2,    0x04, //     f32.const 2, mul, store offset 4
                         0x41, 0x7F, 0x20, 4,    0x6A, 0x22, 4,    0x1A,       //     rows - 1
                         0x20, 4,    0x04, 0x7F, 0x41, 1,    0x05, 0x41, 0x80,
                         0x01, 0x0B, 0x1A, // if i32 ... else ... end drop
                         0x0C, 0,          //     br 0
                         0x0B, 0x0B, 0x0B};

TEST(KernelVerifier, AcceptsAnEmptyKernel) { EXPECT_EQ(idOf(Module({kEmptyBody}).bytes()), ErrorId::None); }

TEST(KernelVerifier, AcceptsLoopsBranchesAndMemoryAccesses) {
  EXPECT_EQ(idOf(Module({kRichBody}).bytes(), Variant::Scalar), ErrorId::None);
}

TEST(KernelVerifier, AcceptsManyKernels) {
  EXPECT_EQ(idOf(Module(std::vector<Bytes>(256, kEmptyBody)).bytes(), Variant::Scalar, 256), ErrorId::None);
}

TEST(KernelVerifier, AcceptsItsCustomSection) {
  Module module({kEmptyBody});
  module.custom = section(0, name("kimic.kernel") + Bytes{1});
  EXPECT_EQ(idOf(module.bytes()), ErrorId::None);
}

TEST(KernelVerifier, AcceptsTheWorstBodyTheLimitsAllow) {
  Bytes instructions;
  for (std::uint32_t i = 0; i + 1 < kMaxNesting; ++i)
    instructions = instructions + Bytes{0x02, 0x40};
  instructions = instructions + Bytes(kMaxNesting - 1, 0x0B);
  EXPECT_EQ(idOf(Module({Bytes{1} + varint(kMaxLocals - 5) + Bytes{0x7B} + instructions + Bytes{0x0B}}).bytes()),
            ErrorId::None);
}

TEST(KernelVerifier, RefusesEveryTruncation) {
  Bytes bytes = Module({kRichBody, kEmptyBody}).bytes();
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_NE(idOf(Bytes(bytes.begin(), bytes.begin() + size), Variant::Simd128, 2), ErrorId::None) << size;
}

TEST(KernelVerifier, SurvivesEveryChangedByte) {
  Bytes bytes = Module({kRichBody}).bytes();
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (int value = 0; value < 256; ++value) {
      Bytes changed = bytes;
      changed[i] = static_cast<std::uint8_t>(value);
      Error error = errorOf(changed);
      EXPECT_LE(error.args[0], changed.size());
    }
}

TEST(KernelVerifier, SurvivesRandomBytesAfterAValidStart) {
  std::mt19937 random(5);
  Bytes bytes = Module({kRichBody}).bytes();
  for (int i = 0; i < 20000; ++i) {
    Bytes changed(bytes.begin(), bytes.begin() + random() % bytes.size());
    for (std::uint32_t n = random() % 100; n > 0; --n)
      changed.push_back(static_cast<std::uint8_t>(random()));
    EXPECT_LE(errorOf(changed).args[0], changed.size());
  }
}

TEST(KernelVerifier, RefusesAnotherHeader) {
  EXPECT_EQ(idWith([](Module &m) { m.header[4] = 2; }), ErrorId::KernelHeader);
}

TEST(KernelVerifier, RefusesAnotherNumberOfKernels) {
  EXPECT_EQ(idOf(Module({kEmptyBody}).bytes(), Variant::Scalar, 2), ErrorId::KernelCount);
}

TEST(KernelVerifier, RefusesNoKernels) {
  EXPECT_EQ(idOf(Module(std::vector<Bytes>{}).bytes(), Variant::Scalar, 0), ErrorId::KernelCount);
}

TEST(KernelVerifier, RefusesMoreKernelsThanAModuleMayHave) {
  EXPECT_EQ(idOf(Module(std::vector<Bytes>(257, kEmptyBody)).bytes(), Variant::Scalar, 257), ErrorId::KernelCount);
}

TEST(KernelVerifier, RefusesAnotherFunctionType) {
  EXPECT_EQ(idWith([](Module &m) { m.type = {1, 0x60, 5, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 1, 0x7F}; }),
            ErrorId::KernelType);
  EXPECT_EQ(idWith([](Module &m) { m.type = {1, 0x60, 4, 0x7F, 0x7F, 0x7F, 0x7F, 0}; }), ErrorId::KernelType);
  EXPECT_EQ(idWith([](Module &m) { m.type[3] = 0x7E; }), ErrorId::KernelType);
}

TEST(KernelVerifier, RefusesSeveralTypes) {
  EXPECT_EQ(idWith([](Module &m) { m.type = Bytes{2, 0x60, 0, 0} + Bytes(m.type.begin() + 1, m.type.end()); }),
            ErrorId::KernelType);
}

TEST(KernelVerifier, RefusesOtherImports) {
  auto import = [](const char *module, const char *field, const Bytes &description) {
    return [=](Module &m) { m.import = Bytes{1} + name(module) + name(field) + description; };
  };
  EXPECT_EQ(idWith(import("env", "memory", {2, 1, 0, 1})), ErrorId::KernelImport) << "maximum";
  EXPECT_EQ(idWith(import("env", "memory", {2, 3, 0, 1})), ErrorId::KernelImport) << "shared";
  EXPECT_EQ(idWith(import("env", "memory", {2, 0, 1})), ErrorId::KernelImport) << "minimum";
  EXPECT_EQ(idWith(import("env", "memory", {0, 0})), ErrorId::KernelImport) << "function";
  EXPECT_EQ(idWith(import("env", "memorx", {2, 0, 0})), ErrorId::KernelImport) << "field";
  EXPECT_EQ(idWith(import("enw", "memory", {2, 0, 0})), ErrorId::KernelImport) << "module";
}

TEST(KernelVerifier, RefusesASecondImport) {
  EXPECT_EQ(idWith([](Module &m) {
              m.import[0] = 2;
              m.import = m.import + name("env") + name("abort") + Bytes{0, 0};
            }),
            ErrorId::KernelImport);
}

TEST(KernelVerifier, RefusesAnotherTypeIndex) {
  EXPECT_EQ(idWith([](Module &m) { m.function = {1, 1}; }), ErrorId::KernelType);
}

TEST(KernelVerifier, RefusesOtherExports) {
  EXPECT_EQ(idWith([](Module &m) { m.exports = Bytes{1} + name("k1") + Bytes{0, 0}; }), ErrorId::KernelExport);
  EXPECT_EQ(idWith([](Module &m) { m.exports = Bytes{1} + name("k00") + Bytes{0, 0}; }), ErrorId::KernelExport);
  EXPECT_EQ(idWith([](Module &m) { m.exports = Bytes{1} + name("k0") + Bytes{2, 0}; }), ErrorId::KernelExport);
}

TEST(KernelVerifier, RefusesExportsOutOfOrder) {
  Module module({kEmptyBody, kEmptyBody});
  module.exports = Bytes{2} + name("k0") + Bytes{0, 1} + name("k1") + Bytes{0, 0};
  EXPECT_EQ(idOf(module.bytes(), Variant::Scalar, 2), ErrorId::KernelExport);
}

TEST(KernelVerifier, RefusesOtherSections) {
  for (std::uint8_t id : {4, 5, 6, 8, 9, 11, 12, 13, 255})
    EXPECT_EQ(idWith([&](Module &m) { m.tail = section(id, {0}); }), ErrorId::KernelSection) << unsigned(id);
}

TEST(KernelVerifier, RefusesARepeatedSection) {
  EXPECT_EQ(idWith([](Module &m) { m.tail = section(10, m.code); }), ErrorId::KernelSection);
}

TEST(KernelVerifier, RefusesSectionsOutOfOrder) {
  Module m({kEmptyBody});
  EXPECT_EQ(idOf(m.header + section(2, m.import) + section(1, m.type) + section(3, m.function) + section(7, m.exports) +
                 section(10, m.code)),
            ErrorId::KernelSection);
}

TEST(KernelVerifier, RefusesAMissingSection) {
  Module m({kEmptyBody});
  EXPECT_EQ(idOf(m.header + section(1, m.type) + section(3, m.function) + section(7, m.exports) + section(10, m.code)),
            ErrorId::KernelSection);
}

TEST(KernelVerifier, RefusesOtherCustomSections) {
  EXPECT_EQ(idWith([](Module &m) { m.custom = section(0, name("name") + Bytes{0}); }), ErrorId::KernelCustomSection);
}

TEST(KernelVerifier, RefusesASecondCustomSection) {
  EXPECT_EQ(idWith([](Module &m) { m.custom = m.tail = section(0, name("kimic.kernel") + Bytes{1}); }),
            ErrorId::KernelSection);
}

TEST(KernelVerifier, RefusesAnotherAbiVersion) {
  EXPECT_EQ(idWith([](Module &m) { m.custom = section(0, name("kimic.kernel") + Bytes{2}); }), ErrorId::KernelVersion);
}

TEST(KernelVerifier, RefusesBytesAfterASectionsContents) {
  EXPECT_EQ(idWith([](Module &m) { m.type = m.type + Bytes{0}; }), ErrorId::KernelTrailingBytes);
}

TEST(KernelVerifier, RefusesBytesAfterABodysEnd) {
  EXPECT_EQ(idOf(Module({kEmptyBody + Bytes{0x0B}}).bytes()), ErrorId::KernelTrailingBytes);
}

TEST(KernelVerifier, RefusesABodyWithoutEnd) { EXPECT_EQ(idOf(Module({Bytes{0}}).bytes()), ErrorId::KernelTruncated); }

TEST(KernelVerifier, RefusesABodyPastItsSection) {
  EXPECT_EQ(idWith([](Module &m) { m.code = Bytes{1, 3, 0, 0x0B}; }), ErrorId::KernelTruncated);
}

TEST(KernelVerifier, RefusesNumbersNotInShortestForm) {
  EXPECT_EQ(idWith([](Module &m) { m.function = {0x81, 0x00, 0}; }), ErrorId::KernelNumber);
  EXPECT_EQ(idOfBody({0x41, 0x80, 0x00, 0x1A}), ErrorId::KernelNumber);
  EXPECT_EQ(idOfBody({0x41, 0xFF, 0x7F, 0x1A}), ErrorId::KernelNumber);
}

TEST(KernelVerifier, RefusesNumbersPast32Bits) {
  EXPECT_EQ(idOfBody({0x41, 0x80, 0x80, 0x80, 0x80, 0x08, 0x1A}), ErrorId::KernelNumber);
  EXPECT_EQ(idOfBody({0x41, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x1A}), ErrorId::KernelNumber);
  EXPECT_EQ(idOfBody({0x20, 0xFF, 0xFF, 0xFF, 0xFF, 0x1F, 0x1A}), ErrorId::KernelNumber);
}

TEST(KernelVerifier, AcceptsTheLargestAndSmallestConstants) {
  EXPECT_EQ(idOfBody({0x41, 0xFF, 0xFF, 0xFF, 0xFF, 0x07, 0x1A}), ErrorId::None);
  EXPECT_EQ(idOfBody({0x41, 0x80, 0x80, 0x80, 0x80, 0x78, 0x1A}), ErrorId::None);
}

TEST(KernelVerifier, RefusesInstructionsThatKernelsDoNotNeed) {
  const std::pair<const char *, Bytes> instructions[] = {{"unreachable", {0x00}},
                                                         {"nop", {0x01}},
                                                         {"br_table", {0x0E, 0, 0}},
                                                         {"call", {0x10, 0}},
                                                         {"call_indirect", {0x11, 0, 0}},
                                                         {"return_call", {0x12, 0}},
                                                         {"select with type", {0x1C, 1, 0x7F}},
                                                         {"global.get", {0x23, 0}},
                                                         {"table.get", {0x25, 0}},
                                                         {"i64.load", {0x29, 3, 0}},
                                                         {"f64.load", {0x2B, 3, 0}},
                                                         {"memory.size", {0x3F, 0}},
                                                         {"memory.grow", {0x40, 0}},
                                                         {"i64.const", {0x42, 0}},
                                                         {"i32.div_s", {0x6D}},
                                                         {"i32.rem_u", {0x70}},
                                                         {"i64.add", {0x7C}},
                                                         {"f64.add", {0xA0}},
                                                         {"i32.trunc_f32_s", {0xA8}},
                                                         {"ref.null", {0xD0, 0x70}},
                                                         {"memory.init", {0xFC, 8, 0, 0}},
                                                         {"memory.copy", {0xFC, 10, 0, 0}},
                                                         {"memory.fill", {0xFC, 11, 0}},
                                                         {"i64.trunc_sat", {0xFC, 4}},
                                                         {"atomic", {0xFE, 0x10, 2, 0}},
                                                         {"f64x2.add", {0xFD, 0xF0, 0x01}},
                                                         {"i64x2.add", {0xFD, 0xCE, 0x01}},
                                                         {"i64x2.splat", {0xFD, 0x12}},
                                                         {"relaxed_madd", {0xFD, 0x85, 0x02}},
                                                         {"reserved", {0xFD, 0x9A, 0x01}}};
  for (const auto &[what, bytes] : instructions)
    EXPECT_EQ(idOfBody(bytes, Variant::Relaxed), ErrorId::KernelInstruction) << what;
}

TEST(KernelVerifier, SaysWhichInstructionItRefused) {
  Bytes bytes = Module({bodyOf({0xFD, 0xF0, 0x01})}).bytes();
  EXPECT_EQ(errorOf(bytes), makeError(ErrorId::KernelInstruction, bytes.size() - 4, 0xFD, 0xF0));
}

const Bytes kVectorInstruction = {0xFD, 0xBA, 0x01};  // i32x4.dot_i16x8_s
const Bytes kRelaxedInstruction = {0xFD, 0x93, 0x02}; // i32x4.relaxed_dot_i8x16_i7x16_add_s

TEST(KernelVerifier, AllowsVectorInstructionsUnlessScalar) {
  EXPECT_EQ(idOfBody(kVectorInstruction, Variant::Scalar), ErrorId::KernelInstruction);
  EXPECT_EQ(idOfBody(kVectorInstruction, Variant::Simd128), ErrorId::None);
  EXPECT_EQ(idOfBody(kVectorInstruction, Variant::Relaxed), ErrorId::None);
}

TEST(KernelVerifier, AllowsRelaxedInstructionsOnlyInTheRelaxedVariant) {
  EXPECT_EQ(idOfBody(kRelaxedInstruction, Variant::Scalar), ErrorId::KernelInstruction);
  EXPECT_EQ(idOfBody(kRelaxedInstruction, Variant::Simd128), ErrorId::KernelInstruction);
  EXPECT_EQ(idOfBody(kRelaxedInstruction, Variant::Relaxed), ErrorId::None);
}

TEST(KernelVerifier, AllowsVectorTypesUnlessScalar) {
  Bytes locals = {1, 1, 0x7B, 0x0B};
  EXPECT_EQ(idOf(Module({locals}).bytes(), Variant::Simd128), ErrorId::None);
  EXPECT_EQ(idOf(Module({locals}).bytes(), Variant::Scalar), ErrorId::KernelValueType);
  EXPECT_EQ(idOfBody({0x02, 0x7B, 0x0B}, Variant::Scalar), ErrorId::KernelValueType);
}

TEST(KernelVerifier, RefusesOtherTypes) {
  EXPECT_EQ(idOf(Module({Bytes{1, 1, 0x7E, 0x0B}}).bytes()), ErrorId::KernelValueType) << "i64 local";
  EXPECT_EQ(idOfBody({0x02, 0x00, 0x0B}), ErrorId::KernelValueType) << "block of a function type";
}

TEST(KernelVerifier, RefusesTooManyLocals) {
  EXPECT_EQ(idOf(Module({Bytes{1} + varint(kMaxLocals - 4) + Bytes{0x7F, 0x0B}}).bytes()),
            ErrorId::KernelTooManyLocals);
  EXPECT_EQ(
      idOf(Module({Bytes{2} + varint(0xFFFFFFFF) + Bytes{0x7F} + varint(0xFFFFFFFF) + Bytes{0x7F, 0x0B}}).bytes()),
      ErrorId::KernelTooManyLocals);
}

TEST(KernelVerifier, RefusesBodiesThatAreTooLarge) {
  EXPECT_EQ(idOf(Module({bodyOf(Bytes(kMaxBodyBytes, 0x1A))}).bytes()), ErrorId::KernelTooLarge);
}

TEST(KernelVerifier, RefusesModulesThatAreTooLarge) {
  EXPECT_EQ(idOf(Bytes(kMaxModuleBytes + 1)), ErrorId::KernelTooLarge);
}

TEST(KernelVerifier, RefusesNestingThatIsTooDeep) {
  Bytes instructions;
  for (std::uint32_t i = 0; i < kMaxNesting; ++i)
    instructions = instructions + Bytes{0x03, 0x40};
  EXPECT_EQ(idOfBody(instructions + Bytes(kMaxNesting, 0x0B)), ErrorId::KernelNesting);
}

TEST(KernelVerifier, RefusesLocalsLabelsAndLanesThatDoNotExist) {
  EXPECT_EQ(idOfBody({0x20, 5, 0x1A}), ErrorId::KernelIndex);
  EXPECT_EQ(idOfBody({0x0C, 1}), ErrorId::KernelIndex);
  EXPECT_EQ(idOfBody({0xFD, 0x1B, 4}), ErrorId::KernelIndex);
  EXPECT_EQ(idOfBody({0xFD, 0x56, 2, 0, 4}), ErrorId::KernelIndex);
  EXPECT_EQ(idOfBody(Bytes{0xFD, 0x0D} + Bytes(15, 0) + Bytes{32}), ErrorId::KernelIndex);
}

TEST(KernelVerifier, RefusesAlignmentPastTheAccess) {
  EXPECT_EQ(idOfBody({0x28, 3, 0}), ErrorId::KernelAlignment);
  EXPECT_EQ(idOfBody({0xFD, 0x00, 5, 0}), ErrorId::KernelAlignment);
}

TEST(KernelVerifier, RefusesASecondMemory) { EXPECT_EQ(idOfBody({0x28, 0x42, 0, 0}), ErrorId::KernelAlignment); }

TEST(KernelVerifier, RefusesElseWithoutIf) {
  EXPECT_EQ(idOfBody({0x05}), ErrorId::KernelElse);
  EXPECT_EQ(idOfBody({0x02, 0x40, 0x05, 0x0B}), ErrorId::KernelElse);
  EXPECT_EQ(idOfBody({0x41, 0, 0x04, 0x40, 0x05, 0x05, 0x0B}), ErrorId::KernelElse);
}

TEST(KernelVerifier, AcceptsElseAfterABlockInsideTheIf) {
  EXPECT_EQ(idOfBody({0x41, 0, 0x04, 0x40, 0x02, 0x40, 0x0B, 0x05, 0x0B}), ErrorId::None);
}

} // namespace
} // namespace kimic::abi
