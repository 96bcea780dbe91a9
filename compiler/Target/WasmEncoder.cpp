#include "compiler/Target/WasmEncoder.h"

#include "llvm/ADT/DenseMap.h"

#include <algorithm>
#include <array>
#include <utility>

using namespace mlir;

namespace kimic::wasm {
namespace {

enum : std::uint8_t { kLoop = 0x03, kIf = 0x04, kEnd = 0x0B, kBrIf = 0x0D };
enum : std::uint8_t { kLocalGet = 0x20, kLocalSet = 0x21, kLocalTee = 0x22 };
enum : std::uint8_t { kEmptyBlock = 0x40, kFunctionType = 0x60 };
enum : std::uint8_t {
  kCustomSection = 0,
  kTypeSection,
  kImportSection,
  kFunctionSection,
  kExportSection = 7,
  kCodeSection = 10
};
enum : std::uint8_t { kFunctionKind = 0, kMemoryKind = 2 };

/// Types in the order in which a function declares its locals.
enum ValueType : unsigned { I32, F32, V128, kValueTypes };
constexpr std::array<std::uint8_t, kValueTypes> kTypeCodes = {0x7F, 0x7D, 0x7B};

ValueType typeOf(Type type) { return type.isInteger() ? I32 : isa<FloatType>(type) ? F32 : V128; }

/// One step of a function in final order, before its values have locals.
struct Step {
  enum Kind : std::uint8_t {
    Get,     ///< push `value`
    Set,     ///< pop it
    Tee,     ///< store it without popping
    MoveGet, ///< push `value`, to be popped by the MoveSet that names it as `source`
    MoveSet, ///< both fall away if the two values share a local
    Instruction,
    LoopBegin, ///< of a guarded loop: if the popped guard is not zero
    LoopEnd,   ///< branch back if the popped condition is not zero
  };
  Kind kind;
  unsigned value = 0;  ///< Get, Set, Tee, MoveGet, MoveSet
  unsigned source = 0; ///< MoveSet; of a MoveGet, the value that is set
  Operation *op = nullptr;
};

/// Positions [begin, end) of steps during which a value must keep its local.
struct Segment {
  unsigned begin, end;
};

/// Whether two lists of disjoint ascending segments have a position in common.
bool overlap(ArrayRef<Segment> a, ArrayRef<Segment> b) {
  if (a.size() > b.size())
    std::swap(a, b);
  for (const Segment &segment : a) {
    auto *next = llvm::partition_point(b, [&](const Segment &other) { return other.end <= segment.begin; });
    if (next != b.end() && next->begin < segment.end)
      return true;
  }
  return false;
}

void insertAll(SmallVectorImpl<Segment> &into, ArrayRef<Segment> segments) {
  for (const Segment &segment : segments)
    into.insert(llvm::upper_bound(into, segment, [](const Segment &a, const Segment &b) { return a.begin < b.begin; }),
                segment);
}

class FunctionEncoder {
public:
  explicit FunctionEncoder(FuncOp func) : func(func) {}

  ByteWriter encode() {
    Block &body = func.getBody().front();
    for (BlockArgument parameter : body.getArguments())
      define(parameter, kNoLoop);
    linearize(body, kNoLoop);
    computeLiveness();
    coalesce();
    assignLocals();
    return write();
  }

private:
  static constexpr unsigned kNoLoop = ~0u;
  static constexpr unsigned kNoLocal = ~0u;

  struct ValueInfo {
    ValueType type;
    unsigned loop; ///< innermost loop around the definition
    unsigned definition = 0;
    unsigned lastUse = 0; ///< extended to the end of loops that do not contain the definition
    unsigned parent;      ///< union-find: values that share a local
    unsigned local = kNoLocal;
    SmallVector<Segment, 2> segments; ///< of the class, valid in its representative
  };

  struct Loop {
    unsigned parent;
    unsigned begin = 0, end = 0;
    unsigned firstArgument; ///< value ids: arguments, then results
    unsigned carried;
    bool isGuarded;
    SmallVector<unsigned, 8> moves;    ///< position of the MoveSet of each carried value
    SmallVector<unsigned, 8> initials; ///< position of its first Set
  };

  struct Use {
    unsigned value, position, loop;
  };

  unsigned define(Value value, unsigned loop) {
    unsigned id = values.size();
    ids[value] = id;
    values.push_back({typeOf(value.getType()), loop, 0, 0, id, kNoLocal, {}});
    return id;
  }

  //===--------------------------------------------------------------------------------------------------------===//
  // Order: trees of single-use values, rooted at effects and at values that need a local
  //===--------------------------------------------------------------------------------------------------------===//

  static bool isConstant(Operation &op) { return isa<I32ConstOp, F32ConstOp>(op); }

  static MemoryEffect effectOf(Operation &op) {
    if (auto instruction = dyn_cast<Instruction>(op))
      return instruction.memoryEffect();
    return isa<LoopOp>(op) ? MemoryEffect::Store : MemoryEffect::None;
  }

  /// Appends the code of a block; `loop` is the loop whose body it is.
  void linearize(Block &block, unsigned loop) {
    // storesBefore tells whether a load may move from one operation to another.
    DenseMap<Operation *, unsigned> storesBefore;
    unsigned stores = 0;
    for (Operation &op : block) {
      storesBefore[&op] = stores;
      stores += effectOf(op) == MemoryEffect::Store;
    }

    // From the end, so that a root takes an operand's tree before that operand is looked at.
    SmallVector<Operation *> roots;
    for (Operation &op : llvm::reverse(block)) {
      if (isConstant(op) || inTree.contains(&op))
        continue;
      bool hasEffect = effectOf(op) == MemoryEffect::Store || op.hasTrait<OpTrait::IsTerminator>();
      if (!hasEffect && op.use_empty())
        continue;
      roots.push_back(&op);
      takeOperands(op, storesBefore[&op], storesBefore);
    }

    SmallVector<Root> emitted;
    for (Operation *root : llvm::reverse(roots))
      emitRoot(*root, loop, emitted);
  }

  void takeOperands(Operation &user, unsigned stores, const DenseMap<Operation *, unsigned> &storesBefore) {
    // What a loop hands on is not computed at its end but set where it is defined.
    auto operands = isa<ContinueOp>(user) ? user.getOperands().take_front(1) : user.getOperands();
    for (Value operand : operands) {
      Operation *definition = operand.getDefiningOp();
      if (!definition || definition->getBlock() != user.getBlock() || !operand.hasOneUse() || isConstant(*definition) ||
          isa<LoopOp>(definition))
        continue;
      if (effectOf(*definition) == MemoryEffect::Load && storesBefore.lookup(definition) != stores)
        continue;
      inTree.insert(definition);
      takeOperands(*definition, stores, storesBefore);
    }
  }

  /// A root whose code ends with `Set value` at the end of `steps`.
  struct Root {
    unsigned begin;
    unsigned value;
  };

  void emitRoot(Operation &op, unsigned loop, SmallVectorImpl<Root> &emitted) {
    unsigned begin = steps.size();
    if (auto loopOp = dyn_cast<LoopOp>(op)) {
      emitLoop(loopOp, loop);
      emitted.clear();
      return;
    }
    if (auto next = dyn_cast<ContinueOp>(op)) {
      emitOperand(next.getCondition());
      begin = sinkInto(begin, emitted);
      emitMoves(next, loop);
      return;
    }
    for (Value operand : op.getOperands())
      emitOperand(operand);
    if (!isa<ReturnOp>(op))
      steps.push_back({Step::Instruction, 0, 0, &op});
    begin = sinkInto(begin, emitted);
    if (op.getNumResults() == 0) {
      emitted.clear();
      return;
    }
    unsigned value = define(op.getResult(0), loop);
    steps.push_back({Step::Set, value});
    emitted.push_back({begin, value});
  }

  void emitOperand(Value value) {
    Operation *definition = value.getDefiningOp();
    if (definition && (isConstant(*definition) || inTree.contains(definition))) {
      for (Value operand : definition->getOperands())
        emitOperand(operand);
      steps.push_back({Step::Instruction, 0, 0, definition});
      return;
    }
    steps.push_back({Step::Get, ids.lookup(value)});
  }

  /// Moves the roots right before `begin` to their first use in the code from `begin` on, as tees. What they move
  /// across are loads and pure instructions that do not need what they compute. Returns where the code begins then.
  unsigned sinkInto(unsigned begin, SmallVectorImpl<Root> &emitted) {
    while (!emitted.empty()) {
      Root root = emitted.back();
      auto isUse = [&](const Step &step) { return step.kind == Step::Get && step.value == root.value; };
      auto first = steps.begin() + begin;
      auto use = std::find_if(first, steps.end(), isUse);
      if (use == steps.end() || usesTeesOf(steps.begin() + root.begin, first, use))
        break;
      // [root.begin, first - 1) root, Set, [first, use) rest, Get  ->  rest, root, Tee
      use->kind = Step::Tee;
      auto target = std::rotate(steps.begin() + root.begin, first, use);
      steps.erase(target + (first - steps.begin() - root.begin) - 1);
      begin = root.begin;
      emitted.pop_back();
    }
    return begin;
  }

  /// Whether [middle, end) gets a value that a tee in [begin, middle) sets.
  static bool usesTeesOf(std::vector<Step>::iterator begin, std::vector<Step>::iterator middle,
                         std::vector<Step>::iterator end) {
    return std::any_of(middle, end, [&](const Step &step) {
      return step.kind == Step::Get && std::any_of(begin, middle, [&](const Step &tee) {
               return tee.kind == Step::Tee && tee.value == step.value;
             });
    });
  }

  void emitLoop(LoopOp op, unsigned parent) {
    unsigned id = loops.size();
    auto carried = static_cast<unsigned>(op.getInitial().size());
    bool isGuarded = op.getGuard() != nullptr;
    loops.push_back({parent, 0, 0, static_cast<unsigned>(values.size()), carried, isGuarded, {}, {}});
    for (BlockArgument argument : op.getBody().getArguments())
      define(argument, id);
    for (Value result : op.getResults())
      define(result, parent);
    // The guard stays on the stack below the initial values.
    if (isGuarded)
      emitOperand(op.getGuard());
    for (auto [i, initial] : llvm::enumerate(op.getInitial())) {
      unsigned argument = loops[id].firstArgument + i;
      emitOperand(initial);
      Step &last = steps.back();
      if (last.kind == Step::Get) {
        last = {Step::MoveGet, last.value, argument};
        steps.push_back({Step::MoveSet, argument, last.value});
      } else {
        steps.push_back({Step::Set, argument});
      }
      loops[id].initials.push_back(steps.size() - 1);
    }
    steps.push_back({Step::LoopBegin, id});
    loops[id].begin = steps.size() - 1;
    linearize(op.getBody().front(), id);
    steps.push_back({Step::LoopEnd, id});
    loops[id].end = steps.size() - 1;
  }

  /// All values are pushed before one is popped: they may be permutations of the carried ones.
  void emitMoves(ContinueOp op, unsigned loop) {
    unsigned first = loops[loop].firstArgument;
    unsigned begin = steps.size();
    for (auto [i, next] : llvm::enumerate(op.getNext())) {
      emitOperand(next);
      if (steps.back().kind == Step::Get)
        steps.back() = {Step::MoveGet, steps.back().value, first + static_cast<unsigned>(i)};
    }
    unsigned carried = op.getNext().size();
    loops[loop].moves.assign(carried, 0);
    for (unsigned i = carried; i-- > 0;) {
      loops[loop].moves[i] = steps.size();
      const Step &pushed = steps[begin + i];
      if (pushed.kind == Step::MoveGet)
        steps.push_back({Step::MoveSet, first + i, pushed.value});
      else
        steps.push_back({Step::Set, first + i});
    }
  }

  //===--------------------------------------------------------------------------------------------------------===//
  // Live ranges and locals
  //===--------------------------------------------------------------------------------------------------------===//

  void computeLiveness() {
    unsigned loop = kNoLoop;
    for (unsigned position = 0; position < steps.size(); ++position) {
      const Step &step = steps[position];
      switch (step.kind) {
      case Step::LoopBegin:
        loop = step.value;
        break;
      case Step::LoopEnd:
        loop = loops[step.value].parent;
        break;
      case Step::Set:
      case Step::Tee:
        values[step.value].definition = position;
        break;
      case Step::Get:
      case Step::MoveGet:
        recordUse(step.value, position, loop);
        break;
      default:
        break;
      }
    }

    for (ValueInfo &value : values)
      value.segments = {{value.definition, std::max(value.lastUse, value.definition + 1)}};
    for (const Loop &l : loops)
      for (unsigned i = 0; i < l.carried; ++i) {
        ValueInfo &argument = values[l.firstArgument + i];
        ValueInfo &result = values[l.firstArgument + l.carried + i];
        argument.segments = {{l.initials[i], std::max(argument.lastUse, l.begin)}};
        argument.segments.push_back({l.moves[i], std::max(result.lastUse, l.end)});
        result.parent = l.firstArgument + i;
      }
  }

  void recordUse(unsigned id, unsigned position, unsigned loop) {
    ValueInfo &value = values[id];
    unsigned last = position;
    for (; loop != value.loop; loop = loops[loop].parent)
      last = loops[loop].end;
    value.lastUse = std::max(value.lastUse, last);
  }

  unsigned representative(unsigned id) {
    while (values[id].parent != id)
      id = values[id].parent = values[values[id].parent].parent;
    return id;
  }

  /// Lets the two sides of every move share a local where their live ranges do not overlap.
  void coalesce() {
    for (const Loop &loop : llvm::reverse(loops))
      for (unsigned position : loop.moves)
        merge(steps[position]);
    for (const Loop &loop : loops)
      for (unsigned position : loop.initials)
        merge(steps[position]);
  }

  void merge(const Step &move) {
    if (move.kind != Step::MoveSet)
      return;
    unsigned target = representative(move.value), source = representative(move.source);
    unsigned parameters = func.getNumArguments();
    if (target == source || (target < parameters && source < parameters) ||
        overlap(values[target].segments, values[source].segments))
      return;
    if (source > target)
      std::swap(source, target);
    // The smaller id stays: parameters keep theirs, which are their locals.
    insertAll(values[source].segments, values[target].segments);
    values[target].parent = source;
  }

  void assignLocals() {
    // Slots of each type, parameters first; the others become locals once the count of each type is known.
    std::vector<SmallVector<Segment>> taken[kValueTypes];
    std::vector<unsigned> locals[kValueTypes];
    unsigned parameters = func.getNumArguments();
    for (unsigned id = 0; id < parameters; ++id) {
      const ValueInfo &value = values[id];
      taken[value.type].emplace_back(value.segments.begin(), value.segments.end());
      locals[value.type].push_back(id);
    }

    std::vector<unsigned> classes;
    for (unsigned id = 0; id < values.size(); ++id)
      if (representative(id) == id)
        classes.push_back(id);
    llvm::sort(classes, [&](unsigned a, unsigned b) {
      return std::pair(values[a].segments.front().begin, a) < std::pair(values[b].segments.front().begin, b);
    });
    for (unsigned id : classes) {
      ValueInfo &value = values[id];
      if (id < parameters)
        continue;
      auto &slots = taken[value.type];
      auto slot = llvm::find_if(slots, [&](const auto &used) { return !overlap(used, value.segments); });
      value.local = slot - slots.begin();
      if (slot == slots.end())
        slots.emplace_back();
      insertAll(slots[value.local], value.segments);
    }

    unsigned count = parameters;
    for (unsigned type = 0; type < kValueTypes; ++type) {
      declared[type] = taken[type].size() - locals[type].size();
      for (unsigned i = 0; i < declared[type]; ++i)
        locals[type].push_back(count++);
    }
    for (unsigned id : classes)
      values[id].local = id < parameters ? id : locals[values[id].type][values[id].local];
  }

  unsigned localOf(unsigned id) { return values[representative(id)].local; }

  //===--------------------------------------------------------------------------------------------------------===//
  // Bytes
  //===--------------------------------------------------------------------------------------------------------===//

  bool isNothing(const Step &step) {
    return (step.kind == Step::MoveGet || step.kind == Step::MoveSet) && localOf(step.value) == localOf(step.source);
  }

  ByteWriter write() {
    ByteWriter body;
    unsigned runs = llvm::count_if(declared, [](unsigned count) { return count != 0; });
    body.unsignedLeb(runs);
    for (unsigned type = 0; type < kValueTypes; ++type)
      if (declared[type]) {
        body.unsignedLeb(declared[type]);
        body.byte(kTypeCodes[type]);
      }

    llvm::erase_if(steps, [&](const Step &step) { return isNothing(step); });
    for (unsigned position = 0; position < steps.size(); ++position) {
      const Step &step = steps[position];
      switch (step.kind) {
      case Step::Get:
      case Step::MoveGet:
        writeLocal(body, kLocalGet, step);
        break;
      case Step::Tee:
        writeLocal(body, kLocalTee, step);
        break;
      case Step::Set:
      case Step::MoveSet:
        if (position + 1 < steps.size() && isGet(steps[position + 1]) &&
            localOf(step.value) == localOf(steps[position + 1].value)) {
          writeLocal(body, kLocalTee, step);
          ++position;
        } else {
          writeLocal(body, kLocalSet, step);
        }
        break;
      case Step::Instruction: {
        auto instruction = cast<Instruction>(step.op);
        body.opcode(instruction.opcode());
        instruction.encodeImmediates(body);
        break;
      }
      case Step::LoopBegin:
        if (loops[step.value].isGuarded) {
          body.byte(kIf);
          body.byte(kEmptyBlock);
        }
        body.byte(kLoop);
        body.byte(kEmptyBlock);
        break;
      case Step::LoopEnd:
        body.byte(kBrIf);
        body.byte(0);
        body.byte(kEnd);
        if (loops[step.value].isGuarded)
          body.byte(kEnd);
        break;
      }
    }
    body.byte(kEnd);

    ByteWriter sized;
    sized.unsignedLeb(body.size());
    sized.append(body);
    return sized;
  }

  static bool isGet(const Step &step) { return step.kind == Step::Get || step.kind == Step::MoveGet; }

  void writeLocal(ByteWriter &body, std::uint8_t opcode, const Step &step) {
    body.byte(opcode);
    body.unsignedLeb(localOf(step.value));
  }

  FuncOp func;
  std::vector<Step> steps;
  std::vector<ValueInfo> values;
  std::vector<Loop> loops;
  DenseMap<Value, unsigned> ids;
  DenseSet<Operation *> inTree;
  std::array<unsigned, kValueTypes> declared{};
};

void writeFunctionType(ByteWriter &writer, FunctionType type) {
  writer.byte(kFunctionType);
  for (TypeRange types : {TypeRange(type.getInputs()), TypeRange(type.getResults())}) {
    writer.unsignedLeb(types.size());
    for (Type t : types)
      writer.byte(kTypeCodes[typeOf(t)]);
  }
}

std::string_view view(StringRef text) { return {text.data(), text.size()}; }

} // namespace

std::vector<std::uint8_t> encodeModule(ModuleOp module) {
  SmallVector<FuncOp> functions(module.getBody().getOps<FuncOp>());
  SmallVector<FunctionType> types;
  ByteWriter typeSection, imports, functionSection, exports, code;

  functionSection.unsignedLeb(functions.size());
  code.unsignedLeb(functions.size());
  exports.unsignedLeb(llvm::count_if(functions, [](FuncOp func) { return func.getExportName().has_value(); }));
  for (auto [index, func] : llvm::enumerate(functions)) {
    auto known = llvm::find(types, func.getFunctionType());
    functionSection.unsignedLeb(known - types.begin());
    if (known == types.end())
      types.push_back(func.getFunctionType());
    if (std::optional<StringRef> name = func.getExportName()) {
      exports.text(view(*name));
      exports.byte(kFunctionKind);
      exports.unsignedLeb(index);
    }
    code.append(FunctionEncoder(func).encode());
  }
  typeSection.unsignedLeb(types.size());
  for (FunctionType type : types)
    writeFunctionType(typeSection, type);
  imports.unsignedLeb(1);
  imports.text(view(module.getMemoryModule()));
  imports.text(view(module.getMemoryName()));
  imports.byte(kMemoryKind);
  imports.byte(0); // no maximum
  imports.unsignedLeb(module.getMemoryMin());

  ByteWriter binary;
  binary.fixed32(0x6D736100); // "\0asm"
  binary.fixed32(1);
  binary.section(kTypeSection, typeSection);
  binary.section(kImportSection, imports);
  binary.section(kFunctionSection, functionSection);
  binary.section(kExportSection, exports);
  binary.section(kCodeSection, code);
  for (CustomOp custom : module.getBody().getOps<CustomOp>()) {
    ByteWriter content, section;
    content.text(view(custom.getName()));
    for (char byte : custom.getBytes())
      content.byte(static_cast<std::uint8_t>(byte));
    binary.section(kCustomSection, content);
  }
  return binary.take();
}

} // namespace kimic::wasm
