// The qexpert dialect: what the machine computes, exactly.
//
// Every operation is defined to the bit by formats/spec/quantization-v1.md. Codes are i16, sums are i32 and never
// overflow (convert-expert-to-qexpert proves it per row), the epilogue is single f32 operations that are never fused.
#ifndef KIMIC_QEXPERT_OPS
#define KIMIC_QEXPERT_OPS

include "compiler/Dialect/Elements.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def QExpert_Dialect : Dialect {
  let name = "qexpert";
  let cppNamespace = "::kimic::qexpert";
  let summary = "what the machine computes, exactly";
  let useDefaultAttributePrinterParser = 1;
}

def QExpert_Group : AttrDef<QExpert_Dialect, "Group"> {
  let mnemonic = "group";
  let summary = "a run of outputs of one layer with the same activation function";
  let description = "`clamped`: t is clamped to +-limit[n] before the function.";
  let parameters = (ins "::kimic::Activation":$function, "uint32_t":$count, "bool":$clamped);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def QExpert_Layer : AttrDef<QExpert_Dialect, "Layer"> {
  let mnemonic = "layer";
  let summary = "the structure of one layer, reading the codes from readBegin on";
  let parameters = (ins "uint32_t":$readBegin, ArrayRefParameter<"GroupAttr">:$groups);
  let hasCustomAssemblyFormat = 1;
}

def QExpert_Signature : AttrDef<QExpert_Dialect, "Signature"> {
  let mnemonic = "signature";
  let summary = "what a kernel computes, without the numbers (quant::Signature)";
  let description = [{
    ```mlir
    #qexpert.signature<2 -> [0: sigmoid_symmetric x 3] -> [2: linear x 1 clamped], affine>
    ```
    is an expert of 2 inputs, a layer that reads the codes from 0 on, and an output layer that reads those from 2 on.
    The words at the end are `residual` or `float32` for weights that are not plain 8-bit ones, `affine`, the head,
    `softmax` or `argmax`, and the schedule `sparse`, in this order.
  }];
  let parameters = (ins "uint32_t":$inputs, ArrayRefParameter<"LayerAttr">:$layers,
                        "::kimic::quant::WeightFormat":$weights, "bool":$outputAffine,
                        "::kimic::quant::Head":$head, "bool":$sparseInputs);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    static SignatureAttr get(::mlir::MLIRContext *context, const ::kimic::quant::Signature &signature);
    ::kimic::quant::Signature toSignature() const;
  }];
}

def QExpert_Groups : TypedArrayAttrBase<QExpert_Group, "activation groups">;
def QExpert_Values : 1DTensorOf<[F32]>;
def QExpert_Codes : 1DTensorOf<[I16]>;
def QExpert_Sums : 1DTensorOf<[I32]>;

class QExpert_Op<string mnemonic, list<Trait> traits = []> : Op<QExpert_Dialect, mnemonic, traits>;

def QExpert_DefineOp : QExpert_Op<"define", [Symbol, IsolatedFromAbove, SingleBlock]> {
  let summary = "a quantized expert";
  let description = [{
    ```mlir
    qexpert.define @xor(%x: tensor<2xf32>) -> tensor<1xf32> {
      ...
      qexpert.yield %y : tensor<1xf32>
    }
    ```
    `activity` is the share of the pairs of inputs of which a code was not 0 on the calibration data, if that is known.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<QExpert_Values>:$input_type,
                       TypeAttrOf<QExpert_Values>:$result_type, OptionalAttr<F32Attr>:$activity);
  let regions = (region SizedRegion<1>:$body);
  let skipDefaultBuilders = 1;
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name, "uint32_t":$inputs, "uint32_t":$outputs)>];
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    uint32_t getInputs() { return ::llvm::cast<::mlir::RankedTensorType>(getInputType()).getDimSize(0); }
    uint32_t getOutputs() { return ::llvm::cast<::mlir::RankedTensorType>(getResultType()).getDimSize(0); }
    ::mlir::BlockArgument getInput() { return getBody().getArgument(0); }
  }];
}

def QExpert_QuantizeOp : QExpert_Op<"quantize", [Pure]> {
  let summary = "inputs to codes";
  let description = [{
    `code[k] = sat16(rnd(pmin(hi, pmax(lo, input[k] * scale[k]))))` (quantization-v1, "Input").

    ```mlir
    %c = qexpert.quantize %x scale(dense<8191.0> : tensor<2xf32>) bounds [-32768.0, 32767.0]
           : tensor<2xf32> -> tensor<2xi16>
    ```
  }];
  let arguments = (ins QExpert_Values:$input, F32ElementsAttr:$scale, F32Attr:$lo, F32Attr:$hi);
  let results = (outs QExpert_Codes:$result);
  let assemblyFormat = [{
    $input `scale` `(` $scale `)` `bounds` custom<Bounds>($lo, $hi) attr-dict `:` type($input) `->` type($result)
  }];
  let hasVerifier = 1;
}

def QExpert_LinearOp : QExpert_Op<"linear", [Pure]> {
  let summary = "exact i32 sums of 8-bit weights times codes";
  let description = [{
    `result[n] = bias[n] + sum over k of weights[n][k] * input[k]` (quantization-v1, "Linear").

    ```mlir
    %s = qexpert.linear %c weights(dense<[[127, -3]]> : tensor<1x2xi8>) bias(dense<5> : tensor<1xi32>)
           : tensor<2xi16> -> tensor<1xi32>
    ```
  }];
  let arguments = (ins QExpert_Codes:$input, I8ElementsAttr:$weights, I32ElementsAttr:$bias);
  let results = (outs QExpert_Sums:$result);
  let assemblyFormat = [{
    $input `weights` `(` $weights `)` `bias` `(` $bias `)` attr-dict `:` type($input) `->` type($result)
  }];
  let hasVerifier = 1;
}

def QExpert_ActivationOp : QExpert_Op<"activation", [Pure]> {
  let summary = "sums to codes, or to the outputs";
  let description = [{
    `t = f32(input[n]) * multiplier[n]`, clamped to `+-limit[n]` in clamped groups; then the code of `function(t)`
    (i16 result: a hidden layer; `bounds` apply to its unbounded functions) or its value (f32 result: the last layer).
    quantization-v1, "Activation".

    ```mlir
    %a = qexpert.activation %s groups [sigmoid_symmetric x 3] multiplier(dense<0.001> : tensor<3xf32>)
           bounds [-32768.0, 32767.0] : tensor<3xi32> -> tensor<3xi16>
    ```
  }];
  let arguments = (ins QExpert_Sums:$input, QExpert_Groups:$groups, F32ElementsAttr:$multiplier,
                       OptionalAttr<F32ElementsAttr>:$limit, OptionalAttr<F32Attr>:$lo, OptionalAttr<F32Attr>:$hi);
  let results = (outs AnyTypeOf<[QExpert_Codes, QExpert_Values]>:$result);
  let assemblyFormat = [{
    $input `groups` custom<Groups>($groups) `multiplier` `(` $multiplier `)` (`limit` `(` $limit^ `)`)?
    (`bounds` custom<Bounds>($lo, $hi)^)? attr-dict `:` type($input) `->` type($result)
  }];
  let hasVerifier = 1;
}

def QExpert_ConcatOp : QExpert_Op<"concat", [Pure]> {
  let summary = "codes one after another";
  let description = [{
    ```mlir
    %d = qexpert.concat %c, %a : tensor<2xi16>, tensor<3xi16> -> tensor<5xi16>
    ```
  }];
  let arguments = (ins Variadic<QExpert_Codes>:$inputs);
  let results = (outs QExpert_Codes:$result);
  let assemblyFormat = "$inputs attr-dict `:` type($inputs) `->` type($result)";
  let hasVerifier = 1;
}

def QExpert_AffineOp : QExpert_Op<"affine", [Pure, AllTypesMatch<["input", "result"]>]> {
  let summary = "outputs to y * gain[n] + offset[n], two roundings";
  let description = [{
    ```mlir
    %z = qexpert.affine %y gain(dense<2.0> : tensor<1xf32>) offset(dense<1.0> : tensor<1xf32>) : tensor<1xf32>
    ```
  }];
  let arguments = (ins QExpert_Values:$input, F32ElementsAttr:$gain, F32ElementsAttr:$offset);
  let results = (outs QExpert_Values:$result);
  let assemblyFormat = "$input `gain` `(` $gain `)` `offset` `(` $offset `)` attr-dict `:` type($input)";
  let hasVerifier = 1;
}

def QExpert_YieldOp : QExpert_Op<"yield", [Terminator, HasParent<"DefineOp">]> {
  let summary = "the outputs of the expert";
  let arguments = (ins QExpert_Values:$value);
  let assemblyFormat = "$value attr-dict `:` type($value)";
}

def QExpert_ExpertOp : QExpert_Op<"expert", [Symbol]> {
  let summary = "a packed expert: a signature, or the kernel that has it, and a parameter block";
  let description = [{
    The block is laid out by formats/quant/Layout.h from the signature. Before outlining an expert holds its signature,
    after it names a kernel. `activity` is that of a qexpert.define, until a schedule has been chosen.

    ```mlir
    qexpert.expert @xor signature(<2 -> [0: linear x 1]>) parameters(dense<0> : tensor<80xi8>)
    qexpert.expert @xor kernel(@"w8a14_2-1_linear") parameters(dense<0> : tensor<80xi8>)
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, OptionalAttr<QExpert_Signature>:$signature,
                       OptionalAttr<FlatSymbolRefAttr>:$kernel, I8ElementsAttr:$parameters,
                       OptionalAttr<F32Attr>:$activity);
  let assemblyFormat = [{
    $sym_name (`signature` `(` $signature^ `)`)? (`kernel` `(` $kernel^ `)`)? `parameters` `(` $parameters `)` attr-dict
  }];
  let hasVerifier = 1;
}

def QExpert_KernelOp : QExpert_Op<"kernel", [Symbol]> {
  let summary = "the code for a signature; holds no numbers";
  let description = [{
    `parameters` (without residual rows) and `scratch` are the bytes that quant::layoutOf gives the signature.

    ```mlir
    qexpert.kernel @"w8a14_2-1_linear" signature(<2 -> [0: linear x 1]>) parameters 80 scratch 256
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, QExpert_Signature:$signature, I32Attr:$parameter_bytes,
                       I32Attr:$scratch_bytes);
  let skipDefaultBuilders = 1;
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name, "SignatureAttr":$signature)>];
  let assemblyFormat = [{
    $sym_name `signature` `(` $signature `)` `parameters` $parameter_bytes `scratch` $scratch_bytes attr-dict
  }];
  let hasVerifier = 1;
}

#endif // KIMIC_QEXPERT_OPS
