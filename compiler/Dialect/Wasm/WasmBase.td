// The `wasm` dialect, its type and the interface that ties an operation to its WebAssembly instruction.
#ifndef KIMIC_DIALECT_WASM_BASE
#define KIMIC_DIALECT_WASM_BASE

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/OpBase.td"

def Wasm_Dialect : Dialect {
  let name = "wasm";
  let summary = "WebAssembly code in SSA form";
  let description = [{
    The subset of WebAssembly that kernels consist of: i32, f32 and v128 instructions, loads and stores with immediates,
    and one structured loop with carried values. An operation that stands for an instruction has the instruction's name
    behind `wasm.` and takes and yields exactly what it pops and pushes; where a value lives (local or operand stack)
    is the encoder's business.

    ```mlir
    wasm.module memory "env" "memory" {
      wasm.func @k0(%p: i32) attributes {exportName = "k0"} {
        %w = wasm.v128.load %p offset 16
        %s = wasm.i32x4.add %w, %w
        wasm.v128.store %p, %s
        wasm.return
      }
    }
    ```
  }];
  let cppNamespace = "::kimic::wasm";
  let useDefaultTypePrinterParser = 1;
}

def Wasm_V128 : TypeDef<Wasm_Dialect, "V128"> {
  let mnemonic = "v128";
  let summary = "128 bits, read by each instruction as the lanes it names";
}

class Wasm_BuildableType<Type type, string builder> : Type<type.predicate, type.summary>, BuildableType<builder>;

def Wasm_I32 : Wasm_BuildableType<I32, "$_builder.getI32Type()">;
def Wasm_F32 : Wasm_BuildableType<F32, "$_builder.getF32Type()">;
def Wasm_Vec : Wasm_BuildableType<Type<Wasm_V128.predicate, "v128">, "::kimic::wasm::V128Type::get($_builder.getContext())">;
def Wasm_Value : AnyTypeOf<[Wasm_I32, Wasm_F32, Wasm_Vec], "i32, f32 or v128">;

def Wasm_Instruction : OpInterface<"Instruction"> {
  let cppNamespace = "::kimic::wasm";
  let description = [{An operation that is one WebAssembly instruction with a fixed opcode.}];
  let methods = [
    StaticInterfaceMethod<"The opcode: one byte, or 0xFD00 + the number behind the SIMD prefix 0xFD.",
      "uint32_t", "opcode", (ins), "", "return ConcreteOp::kOpcode;">,
    StaticInterfaceMethod<"What the instruction does with memory.",
      "::kimic::wasm::MemoryEffect", "memoryEffect", (ins), "", "return ConcreteOp::kMemoryEffect;">,
    InterfaceMethod<"Appends the immediates that follow the opcode.",
      "void", "encodeImmediates", (ins "::kimic::wasm::ByteWriter &":$writer)>,
  ];
}

// A builder that leaves out the result's type.
class Wasm_Builder<dag parameters, string arguments, Wasm_BuildableType result>
    : OpBuilder<parameters, "build($_builder, $_state, " # result.builderCall # ", " # arguments # ");">;

class Wasm_Op<string mnemonic, list<Trait> traits = []> : Op<Wasm_Dialect, mnemonic, traits>;

// An operation that is the instruction `instruction`. The opcode stands here and nowhere else.
class Wasm_InstructionOp<string instruction, int number, string effect, list<Trait> traits>
    : Wasm_Op<instruction, traits # [DeclareOpInterfaceMethods<Wasm_Instruction>]> {
  string instructionName = instruction;
  int opcode = number;
  let cppNamespace = "::kimic::wasm";
  code immediates = "";
  let summary = "`" # instruction # "`";
  let extraClassDeclaration = [{
    static constexpr uint32_t kOpcode = }] # number # [{;
    static constexpr ::kimic::wasm::MemoryEffect kMemoryEffect = ::kimic::wasm::MemoryEffect::}] # effect # [{;
  }];
  let extraClassDefinition = [{
    void $cppClass::encodeImmediates(::kimic::wasm::ByteWriter &writer) {
  }] # immediates # [{
    }
  }];
}

#endif
