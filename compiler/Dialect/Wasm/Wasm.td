// The operations of the `wasm` dialect.
#ifndef KIMIC_DIALECT_WASM
#define KIMIC_DIALECT_WASM

include "compiler/Dialect/Wasm/WasmBase.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

//===------------------------------------------------------------------------------------------------------------===//
// Structure
//===------------------------------------------------------------------------------------------------------------===//

def Wasm_ModuleOp : Wasm_Op<"module", [IsolatedFromAbove, NoRegionArguments, NoTerminator, SingleBlock, SymbolTable]> {
  let summary = "a WebAssembly module that imports one memory";
  let description = [{
    Holds `wasm.func` and `wasm.custom`. `min` is the least size of the imported memory in pages; it has no maximum.
    Two functions may not have the same export name.
  }];
  let arguments = (ins StrAttr:$memoryModule, StrAttr:$memoryName,
                       DefaultValuedAttr<ConfinedAttr<I32Attr, [IntNonNegative, IntMaxValue<65536>]>, "0">:$memoryMin);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "`memory` $memoryModule $memoryName (`min` $memoryMin^)? attr-dict-with-keyword $body";
  let hasRegionVerifier = 1;
}

def Wasm_CustomOp : Wasm_Op<"custom", [HasParent<"ModuleOp">]> {
  let summary = "a custom section; the sections stand behind the code, in this order";
  let arguments = (ins StrAttr:$name, StrAttr:$bytes);
  let assemblyFormat = "$name $bytes attr-dict";
}

def Wasm_FuncOp : Wasm_Op<"func", [HasParent<"ModuleOp">, IsolatedFromAbove, FunctionOpInterface]> {
  let summary = "a function";
  let description = [{
    Parameters and results are i32, f32 or v128. The body is one block that ends with `wasm.return`. With the attribute
    `exportName`, the module exports the function under that name.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type,
                       OptionalAttr<StrAttr>:$exportName, OptionalAttr<DictArrayAttr>:$arg_attrs,
                       OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region SizedRegion<1>:$body);
  let skipDefaultBuilders = 1;
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name, "::mlir::FunctionType":$type,
                                 "::llvm::StringRef":$exportName)>];
  let extraClassDeclaration = [{
    ::mlir::ArrayRef<::mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    ::mlir::ArrayRef<::mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
    ::mlir::Region *getCallableRegion() { return &getBody(); }
    ::llvm::LogicalResult verifyType();
  }];
  let hasCustomAssemblyFormat = 1;
  let hasRegionVerifier = 1;
}

def Wasm_ReturnOp : Wasm_Op<"return", [Pure, HasParent<"FuncOp">, ReturnLike, Terminator]> {
  let summary = "the end of a function";
  let arguments = (ins Variadic<Wasm_Value>:$operands);
  let assemblyFormat = "($operands^ `:` type($operands))? attr-dict";
  let hasVerifier = 1;
}

def Wasm_LoopOp : Wasm_Op<"loop", [AttrSizedOperandSegments, RecursiveMemoryEffects, SingleBlock]> {
  let summary = "a loop that runs its body until the condition is zero";
  let description = [{
    The body's arguments are the carried values: the operands in the first iteration, then what `wasm.continue` hands
    on. The body runs at least once; the values of the last `wasm.continue` are the results. With a guard (`if`), the
    body does not run if the guard is zero; the operands are the results then.

    ```mlir
    %sum, %end = wasm.loop (%s = %zero, %p = %begin) : i32, i32 {
      %v = wasm.i32.load %p
      %s1 = wasm.i32.add %s, %v
      %p1 = wasm.i32.add %p, %four
      %more = wasm.i32.ne %p1, %limit
      wasm.continue %more, %s1, %p1 : i32, i32
    }
    %left = wasm.loop if %count (%n = %count) : i32 {
      %n1 = wasm.i32.sub %n, %one
      wasm.continue %n1, %n1 : i32
    }
    ```
  }];
  let arguments = (ins Optional<Wasm_I32>:$guard, Variadic<Wasm_Value>:$initial);
  let results = (outs Variadic<Wasm_Value>:$results);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasRegionVerifier = 1;
}

def Wasm_ContinueOp : Wasm_Op<"continue", [Pure, HasParent<"LoopOp">, Terminator]> {
  let summary = "the end of a loop's body: again with these values if the condition is not zero";
  let arguments = (ins Wasm_I32:$condition, Variadic<Wasm_Value>:$next);
  let assemblyFormat = "$condition (`,` $next^ `:` type($next))? attr-dict";
}

//===------------------------------------------------------------------------------------------------------------===//
// Classes of instructions
//===------------------------------------------------------------------------------------------------------------===//

class Wasm_Const<string instruction, int number, Attr valueAttr, string valueType, Wasm_BuildableType result,
                 string encode>
    : Wasm_InstructionOp<instruction, number, "None", [Pure]> {
  let arguments = (ins valueAttr:$value);
  let results = (outs result:$result);
  let builders = [Wasm_Builder<(ins valueType:$value), "value", result>];
  let assemblyFormat = "$value attr-dict";
  let immediates = encode;
}

class Wasm_Unary<string instruction, int number, Type operandType, Wasm_BuildableType resultType>
    : Wasm_InstructionOp<instruction, number, "None", [Pure]> {
  let arguments = (ins operandType:$operand);
  let results = (outs resultType:$result);
  let builders = [Wasm_Builder<(ins "::mlir::Value":$operand), "operand", resultType>];
  let assemblyFormat = "$operand attr-dict";
}

class Wasm_Binary<string instruction, int number, Type lhsType, Type rhsType, Wasm_BuildableType resultType>
    : Wasm_InstructionOp<instruction, number, "None", [Pure]> {
  let arguments = (ins lhsType:$lhs, rhsType:$rhs);
  let results = (outs resultType:$result);
  let builders = [Wasm_Builder<(ins "::mlir::Value":$lhs, "::mlir::Value":$rhs), "lhs, rhs", resultType>];
  let assemblyFormat = "$lhs `,` $rhs attr-dict";
}
class Wasm_I32Binary<string name, int number> : Wasm_Binary<"i32." # name, number, Wasm_I32, Wasm_I32, Wasm_I32>;
class Wasm_F32Binary<string name, int number> : Wasm_Binary<"f32." # name, number, Wasm_F32, Wasm_F32, Wasm_F32>;
class Wasm_F32Compare<string name, int number> : Wasm_Binary<"f32." # name, number, Wasm_F32, Wasm_F32, Wasm_I32>;
class Wasm_VecUnary<string name, int number> : Wasm_Unary<name, !add(0xFD00, number), Wasm_Vec, Wasm_Vec>;
class Wasm_VecBinary<string name, int number> : Wasm_Binary<name, !add(0xFD00, number), Wasm_Vec, Wasm_Vec, Wasm_Vec>;
class Wasm_VecShift<string name, int number> : Wasm_Binary<name, !add(0xFD00, number), Wasm_Vec, Wasm_I32, Wasm_Vec>;

// An access of `1 << natural` bytes. `align` is the exponent of the promised alignment, if it is not the natural one.
class Wasm_Access<string instruction, int number, string effect, int natural, list<Trait> traits>
    : Wasm_InstructionOp<instruction, number, effect, traits> {
  code memoryImmediates = "writer.memoryArgument(alignment(), static_cast<uint32_t>(getOffset()));";
  let immediates = memoryImmediates;
  let extraClassDeclaration = [{
    static constexpr uint32_t kOpcode = }] # number # [{;
    static constexpr ::kimic::wasm::MemoryEffect kMemoryEffect = ::kimic::wasm::MemoryEffect::}] # effect # [{;
    static constexpr uint32_t kNaturalAlignment = }] # natural # [{;
    /// The exponent of the promised alignment.
    uint32_t alignment() { return getAlign().value_or(kNaturalAlignment); }
  }];
  let hasVerifier = 1;
  let extraClassDefinition = [{
    void $cppClass::encodeImmediates(::kimic::wasm::ByteWriter &writer) {
  }] # immediates # [{
    }
    ::llvm::LogicalResult $cppClass::verify() { return ::kimic::wasm::verifyAlignment(*this, alignment(), kNaturalAlignment); }
  }];
}
def Wasm_Offset : DefaultValuedAttr<ConfinedAttr<I64Attr, [IntNonNegative, IntMaxValue<4294967295>]>, "0">;
def Wasm_Align : OptionalAttr<I32Attr>;
class Wasm_Lane<int lanes> : ConfinedAttr<I32Attr, [IntNonNegative, IntMaxValue<!sub(lanes, 1)>]>;

class Wasm_Load<string instruction, int number, int natural, Wasm_BuildableType type>
    : Wasm_Access<instruction, number, "Load", natural, [MemoryEffects<[MemRead]>]> {
  let arguments = (ins Wasm_I32:$address, Wasm_Offset:$offset, Wasm_Align:$align);
  let results = (outs type:$result);
  let builders = [Wasm_Builder<(ins "::mlir::Value":$address, "uint64_t":$offset, "::mlir::IntegerAttr":$align),
                               "address, offset, align", type>];
  let assemblyFormat = "$address (`offset` $offset^)? (`align` $align^)? attr-dict";
}

class Wasm_Store<string instruction, int number, int natural, Type type>
    : Wasm_Access<instruction, number, "Store", natural, [MemoryEffects<[MemWrite]>]> {
  let arguments = (ins Wasm_I32:$address, type:$value, Wasm_Offset:$offset, Wasm_Align:$align);
  let assemblyFormat = "$address `,` $value (`offset` $offset^)? (`align` $align^)? attr-dict";
}

class Wasm_LoadLane<string instruction, int number, int natural, int lanes>
    : Wasm_Access<instruction, !add(0xFD00, number), "Load", natural, [MemoryEffects<[MemRead]>]> {
  let arguments = (ins Wasm_I32:$address, Wasm_Vec:$vector, Wasm_Lane<lanes>:$lane, Wasm_Offset:$offset,
                       Wasm_Align:$align);
  let results = (outs Wasm_Vec:$result);
  let builders = [Wasm_Builder<(ins "::mlir::Value":$address, "::mlir::Value":$vector, "uint32_t":$lane,
                                    "uint64_t":$offset, "::mlir::IntegerAttr":$align),
                               "address, vector, lane, offset, align", Wasm_Vec>];
  let assemblyFormat = "$address `,` $vector `[` $lane `]` (`offset` $offset^)? (`align` $align^)? attr-dict";
  let immediates = memoryImmediates # " writer.byte(static_cast<uint8_t>(getLane()));";
}

class Wasm_StoreLane<string instruction, int number, int natural, int lanes>
    : Wasm_Access<instruction, !add(0xFD00, number), "Store", natural, [MemoryEffects<[MemWrite]>]> {
  let arguments = (ins Wasm_I32:$address, Wasm_Vec:$vector, Wasm_Lane<lanes>:$lane, Wasm_Offset:$offset,
                       Wasm_Align:$align);
  let assemblyFormat = "$address `,` $vector `[` $lane `]` (`offset` $offset^)? (`align` $align^)? attr-dict";
  let immediates = memoryImmediates # " writer.byte(static_cast<uint8_t>(getLane()));";
}

class Wasm_ExtractLane<string instruction, int number, int lanes, Wasm_BuildableType type>
    : Wasm_InstructionOp<instruction, !add(0xFD00, number), "None", [Pure]> {
  let arguments = (ins Wasm_Vec:$vector, Wasm_Lane<lanes>:$lane);
  let results = (outs type:$result);
  let builders = [Wasm_Builder<(ins "::mlir::Value":$vector, "uint32_t":$lane), "vector, lane", type>];
  let assemblyFormat = "$vector `[` $lane `]` attr-dict";
  let immediates = "writer.byte(static_cast<uint8_t>(getLane()));";
}

//===------------------------------------------------------------------------------------------------------------===//
// Instructions
//===------------------------------------------------------------------------------------------------------------===//

def Wasm_SelectOp : Wasm_InstructionOp<"select", 0x1B, "None", [Pure, AllTypesMatch<["first", "second", "result"]>]> {
  let arguments = (ins AnyTypeOf<[Wasm_I32, Wasm_F32], "i32 or f32">:$first,
                       AnyTypeOf<[Wasm_I32, Wasm_F32], "i32 or f32">:$second, Wasm_I32:$condition);
  let results = (outs AnyTypeOf<[Wasm_I32, Wasm_F32], "i32 or f32">:$result);
  let builders = [OpBuilder<(ins "::mlir::Value":$first, "::mlir::Value":$second, "::mlir::Value":$condition),
                            "build($_builder, $_state, first.getType(), first, second, condition);">];
  let assemblyFormat = "$first `,` $second `,` $condition attr-dict `:` type($result)";
}

def Wasm_I32ConstOp : Wasm_Const<"i32.const", 0x41, I32Attr, "uint32_t", Wasm_I32, "writer.signedLeb(static_cast<int32_t>(getValue()));">;
def Wasm_F32ConstOp : Wasm_Const<"f32.const", 0x43, F32Attr, "::llvm::APFloat", Wasm_F32,
  "writer.fixed32(static_cast<uint32_t>(getValue().bitcastToAPInt().getZExtValue()));">;

def Wasm_I32LoadOp : Wasm_Load<"i32.load", 0x28, 2, Wasm_I32>;
def Wasm_F32LoadOp : Wasm_Load<"f32.load", 0x2A, 2, Wasm_F32>;
def Wasm_I32Load8SOp : Wasm_Load<"i32.load8_s", 0x2C, 0, Wasm_I32>;
def Wasm_I32Load8UOp : Wasm_Load<"i32.load8_u", 0x2D, 0, Wasm_I32>;
def Wasm_I32Load16SOp : Wasm_Load<"i32.load16_s", 0x2E, 1, Wasm_I32>;
def Wasm_I32Load16UOp : Wasm_Load<"i32.load16_u", 0x2F, 1, Wasm_I32>;
def Wasm_I32StoreOp : Wasm_Store<"i32.store", 0x36, 2, Wasm_I32>;
def Wasm_F32StoreOp : Wasm_Store<"f32.store", 0x38, 2, Wasm_F32>;
def Wasm_I32Store8Op : Wasm_Store<"i32.store8", 0x3A, 0, Wasm_I32>;
def Wasm_I32Store16Op : Wasm_Store<"i32.store16", 0x3B, 1, Wasm_I32>;

def Wasm_I32EqzOp : Wasm_Unary<"i32.eqz", 0x45, Wasm_I32, Wasm_I32>;
def Wasm_I32EqOp : Wasm_I32Binary<"eq", 0x46>;
def Wasm_I32NeOp : Wasm_I32Binary<"ne", 0x47>;
def Wasm_I32LtSOp : Wasm_I32Binary<"lt_s", 0x48>;
def Wasm_I32LtUOp : Wasm_I32Binary<"lt_u", 0x49>;
def Wasm_I32GtSOp : Wasm_I32Binary<"gt_s", 0x4A>;
def Wasm_I32GtUOp : Wasm_I32Binary<"gt_u", 0x4B>;
def Wasm_I32LeSOp : Wasm_I32Binary<"le_s", 0x4C>;
def Wasm_I32GeSOp : Wasm_I32Binary<"ge_s", 0x4E>;
def Wasm_F32EqOp : Wasm_F32Compare<"eq", 0x5B>;
def Wasm_F32NeOp : Wasm_F32Compare<"ne", 0x5C>;
def Wasm_F32LtOp : Wasm_F32Compare<"lt", 0x5D>;
def Wasm_F32GtOp : Wasm_F32Compare<"gt", 0x5E>;
def Wasm_F32LeOp : Wasm_F32Compare<"le", 0x5F>;
def Wasm_F32GeOp : Wasm_F32Compare<"ge", 0x60>;
def Wasm_I32CtzOp : Wasm_Unary<"i32.ctz", 0x68, Wasm_I32, Wasm_I32>;
def Wasm_I32AddOp : Wasm_I32Binary<"add", 0x6A>;
def Wasm_I32SubOp : Wasm_I32Binary<"sub", 0x6B>;
def Wasm_I32MulOp : Wasm_I32Binary<"mul", 0x6C>;
def Wasm_I32AndOp : Wasm_I32Binary<"and", 0x71>;
def Wasm_I32OrOp : Wasm_I32Binary<"or", 0x72>;
def Wasm_I32XorOp : Wasm_I32Binary<"xor", 0x73>;
def Wasm_I32ShlOp : Wasm_I32Binary<"shl", 0x74>;
def Wasm_I32ShrSOp : Wasm_I32Binary<"shr_s", 0x75>;
def Wasm_I32ShrUOp : Wasm_I32Binary<"shr_u", 0x76>;
def Wasm_F32AbsOp : Wasm_Unary<"f32.abs", 0x8B, Wasm_F32, Wasm_F32>;
def Wasm_F32NegOp : Wasm_Unary<"f32.neg", 0x8C, Wasm_F32, Wasm_F32>;
def Wasm_F32AddOp : Wasm_F32Binary<"add", 0x92>;
def Wasm_F32SubOp : Wasm_F32Binary<"sub", 0x93>;
def Wasm_F32MulOp : Wasm_F32Binary<"mul", 0x94>;
def Wasm_F32DivOp : Wasm_F32Binary<"div", 0x95>;
def Wasm_F32ConvertI32SOp : Wasm_Unary<"f32.convert_i32_s", 0xB2, Wasm_I32, Wasm_F32>;
def Wasm_I32ReinterpretF32Op : Wasm_Unary<"i32.reinterpret_f32", 0xBC, Wasm_F32, Wasm_I32>;
def Wasm_F32ReinterpretI32Op : Wasm_Unary<"f32.reinterpret_i32", 0xBE, Wasm_I32, Wasm_F32>;

def Wasm_V128LoadOp : Wasm_Load<"v128.load", 0xFD00, 4, Wasm_Vec>;
def Wasm_V128Load8x8SOp : Wasm_Load<"v128.load8x8_s", 0xFD01, 3, Wasm_Vec>;
def Wasm_V128Load32SplatOp : Wasm_Load<"v128.load32_splat", 0xFD09, 2, Wasm_Vec>;
def Wasm_V128StoreOp : Wasm_Store<"v128.store", 0xFD0B, 4, Wasm_Vec>;
def Wasm_V128Load32ZeroOp : Wasm_Load<"v128.load32_zero", 0xFD5C, 2, Wasm_Vec>;
def Wasm_V128Load64ZeroOp : Wasm_Load<"v128.load64_zero", 0xFD5D, 3, Wasm_Vec>;
def Wasm_V128Load32LaneOp : Wasm_LoadLane<"v128.load32_lane", 0x56, 2, 4>;
def Wasm_V128Store16LaneOp : Wasm_StoreLane<"v128.store16_lane", 0x59, 1, 8>;
def Wasm_V128Store32LaneOp : Wasm_StoreLane<"v128.store32_lane", 0x5A, 2, 4>;
def Wasm_V128Store64LaneOp : Wasm_StoreLane<"v128.store64_lane", 0x5B, 3, 2>;

def Wasm_I8x16ShuffleOp : Wasm_InstructionOp<"i8x16.shuffle", 0xFD0D, "None", [Pure]> {
  let description = [{Byte i of the result is byte `lanes[i]` of `lhs` (0-15) and `rhs` (16-31).}];
  let arguments = (ins Wasm_Vec:$lhs, Wasm_Vec:$rhs, DenseI8ArrayAttr:$lanes);
  let results = (outs Wasm_Vec:$result);
  let builders = [Wasm_Builder<(ins "::mlir::Value":$lhs, "::mlir::Value":$rhs, "::llvm::ArrayRef<int8_t>":$lanes),
                               "lhs, rhs, lanes", Wasm_Vec>];
  let assemblyFormat = "$lhs `,` $rhs $lanes attr-dict";
  let immediates = "for (int8_t lane : getLanes()) writer.byte(static_cast<uint8_t>(lane));";
  let hasVerifier = 1;
}
def Wasm_I16x8SplatOp : Wasm_Unary<"i16x8.splat", 0xFD10, Wasm_I32, Wasm_Vec>;
def Wasm_I32x4SplatOp : Wasm_Unary<"i32x4.splat", 0xFD11, Wasm_I32, Wasm_Vec>;
def Wasm_F32x4SplatOp : Wasm_Unary<"f32x4.splat", 0xFD13, Wasm_F32, Wasm_Vec>;
def Wasm_I32x4ExtractLaneOp : Wasm_ExtractLane<"i32x4.extract_lane", 0x1B, 4, Wasm_I32>;
def Wasm_F32x4ExtractLaneOp : Wasm_ExtractLane<"f32x4.extract_lane", 0x1F, 4, Wasm_F32>;

def Wasm_F32x4EqOp : Wasm_VecBinary<"f32x4.eq", 0x41>;
def Wasm_F32x4NeOp : Wasm_VecBinary<"f32x4.ne", 0x42>;
def Wasm_F32x4LtOp : Wasm_VecBinary<"f32x4.lt", 0x43>;
def Wasm_F32x4GtOp : Wasm_VecBinary<"f32x4.gt", 0x44>;
def Wasm_F32x4LeOp : Wasm_VecBinary<"f32x4.le", 0x45>;
def Wasm_F32x4GeOp : Wasm_VecBinary<"f32x4.ge", 0x46>;
def Wasm_V128NotOp : Wasm_VecUnary<"v128.not", 0x4D>;
def Wasm_V128AndOp : Wasm_VecBinary<"v128.and", 0x4E>;
def Wasm_V128AndnotOp : Wasm_VecBinary<"v128.andnot", 0x4F>;
def Wasm_V128OrOp : Wasm_VecBinary<"v128.or", 0x50>;
def Wasm_V128XorOp : Wasm_VecBinary<"v128.xor", 0x51>;
def Wasm_V128BitselectOp : Wasm_InstructionOp<"v128.bitselect", 0xFD52, "None", [Pure]> {
  let description = [{Bits of `first` where `mask` is 1, of `second` where it is 0.}];
  let arguments = (ins Wasm_Vec:$first, Wasm_Vec:$second, Wasm_Vec:$mask);
  let results = (outs Wasm_Vec:$result);
  let builders = [Wasm_Builder<(ins "::mlir::Value":$first, "::mlir::Value":$second, "::mlir::Value":$mask),
                               "first, second, mask", Wasm_Vec>];
  let assemblyFormat = "$first `,` $second `,` $mask attr-dict";
}

def Wasm_I8x16BitmaskOp : Wasm_Unary<"i8x16.bitmask", 0xFD64, Wasm_Vec, Wasm_I32>;
def Wasm_I8x16NarrowI16x8SOp : Wasm_VecBinary<"i8x16.narrow_i16x8_s", 0x65>;
def Wasm_I16x8NarrowI32x4SOp : Wasm_VecBinary<"i16x8.narrow_i32x4_s", 0x85>;
def Wasm_I16x8ShlOp : Wasm_VecShift<"i16x8.shl", 0x8B>;
def Wasm_I16x8ShrSOp : Wasm_VecShift<"i16x8.shr_s", 0x8C>;
def Wasm_I16x8AddOp : Wasm_VecBinary<"i16x8.add", 0x8E>;
def Wasm_I32x4EqOp : Wasm_VecBinary<"i32x4.eq", 0x37>;
def Wasm_I32x4NeOp : Wasm_VecBinary<"i32x4.ne", 0x38>;
def Wasm_I32x4LtSOp : Wasm_VecBinary<"i32x4.lt_s", 0x39>;
def Wasm_I32x4GtSOp : Wasm_VecBinary<"i32x4.gt_s", 0x3B>;
def Wasm_I32x4ShlOp : Wasm_VecShift<"i32x4.shl", 0xAB>;
def Wasm_I32x4ShrSOp : Wasm_VecShift<"i32x4.shr_s", 0xAC>;
def Wasm_I32x4ShrUOp : Wasm_VecShift<"i32x4.shr_u", 0xAD>;
def Wasm_I32x4AddOp : Wasm_VecBinary<"i32x4.add", 0xAE>;
def Wasm_I32x4SubOp : Wasm_VecBinary<"i32x4.sub", 0xB1>;
def Wasm_I32x4DotI16x8SOp : Wasm_VecBinary<"i32x4.dot_i16x8_s", 0xBA>;
def Wasm_F32x4AbsOp : Wasm_VecUnary<"f32x4.abs", 0xE0>;
def Wasm_F32x4NegOp : Wasm_VecUnary<"f32x4.neg", 0xE1>;
def Wasm_F32x4AddOp : Wasm_VecBinary<"f32x4.add", 0xE4>;
def Wasm_F32x4SubOp : Wasm_VecBinary<"f32x4.sub", 0xE5>;
def Wasm_F32x4MulOp : Wasm_VecBinary<"f32x4.mul", 0xE6>;
def Wasm_F32x4DivOp : Wasm_VecBinary<"f32x4.div", 0xE7>;
def Wasm_F32x4PminOp : Wasm_VecBinary<"f32x4.pmin", 0xEA>;
def Wasm_F32x4PmaxOp : Wasm_VecBinary<"f32x4.pmax", 0xEB>;
def Wasm_F32x4ConvertI32x4SOp : Wasm_VecUnary<"f32x4.convert_i32x4_s", 0xFA>;

#endif
