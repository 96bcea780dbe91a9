// The expert dialect: what a network computes, in float32.
//
// Values are 1-D tensors of f32: one row of a batch, since experts treat rows independently. Weights, steepnesses and
// limits are attributes. The arithmetic is FANN's with real numbers instead of float32: passes may reassociate.
#ifndef KIMIC_EXPERT_OPS
#define KIMIC_EXPERT_OPS

include "compiler/Dialect/Elements.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Expert_Dialect : Dialect {
  let name = "expert";
  let cppNamespace = "::kimic::expert";
  let summary = "what a network computes, in float32";
  let useDefaultAttributePrinterParser = 1;
}

def Expert_Run : AttrDef<Expert_Dialect, "Run"> {
  let mnemonic = "run";
  let summary = "consecutive neurons of one layer with the same activation function";
  let parameters = (ins "::kimic::Activation":$function, "uint32_t":$count);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Expert_Runs : TypedArrayAttrBase<Expert_Run, "activation runs">;
def Expert_Vector : 1DTensorOf<[F32]>;

class Expert_Op<string mnemonic, list<Trait> traits = []> : Op<Expert_Dialect, mnemonic, traits>;

def Expert_DefineOp : Expert_Op<"define", [Symbol, IsolatedFromAbove, SingleBlock]> {
  let summary = "an expert";
  let description = [{
    One network: its body computes the outputs from the inputs, the block argument. `range`, once calibrated, is the
    least and the greatest value of each input over the calibration data.

    ```mlir
    expert.define @xor(%x: tensor<2xf32>) -> tensor<1xf32> {
      ...
      expert.yield %y : tensor<1xf32>
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<Expert_Vector>:$input_type,
                       TypeAttrOf<Expert_Vector>:$result_type, OptionalAttr<F32ElementsAttr>:$range);
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

def Expert_LinearOp : Expert_Op<"linear", [Pure]> {
  let summary = "weights * input + bias";
  let description = [{
    `result[n] = bias[n] + sum over k of weights[n][k] * input[k]`.

    ```mlir
    %s = expert.linear %x weights(dense<[[1.0, 2.0]]> : tensor<1x2xf32>) bias(dense<0.5> : tensor<1xf32>)
           : tensor<2xf32> -> tensor<1xf32>
    ```
  }];
  let arguments = (ins Expert_Vector:$input, F32ElementsAttr:$weights, F32ElementsAttr:$bias,
                       OptionalAttr<F32ElementsAttr>:$range);
  let results = (outs Expert_Vector:$result);
  let assemblyFormat = [{
    $input `weights` `(` $weights `)` `bias` `(` $bias `)` (`range` `(` $range^ `)`)? attr-dict
    `:` type($input) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Expert_ActivationOp : Expert_Op<"activation", [Pure, AllTypesMatch<["input", "result"]>]> {
  let summary = "FANN activation functions, per run of neurons";
  let description = [{
    With `steepness`: `t = steepness[n] * input[n]`, clamped to `+-150/steepness[n]` if `clamp` is present (FANN does,
    ruv-FANN does not). Without (steepness folded into the weights): `t = input[n]`, clamped to `+-limit[n]` if there is
    a `limit`. Then `result[n] = function(t)`.

    ```mlir
    %a = expert.activation %s functions [sigmoid_symmetric x 3, linear x 1] steepness(dense<0.5> : tensor<4xf32>) clamp
           : tensor<4xf32>
    %b = expert.activation %s functions [sigmoid_symmetric x 4] limit(dense<300.0> : tensor<4xf32>) : tensor<4xf32>
    ```
  }];
  let arguments = (ins Expert_Vector:$input, Expert_Runs:$functions, OptionalAttr<F32ElementsAttr>:$steepness,
                       UnitAttr:$clamp, OptionalAttr<F32ElementsAttr>:$limit, OptionalAttr<F32ElementsAttr>:$range);
  let results = (outs Expert_Vector:$result);
  let assemblyFormat = [{
    $input `functions` custom<Runs>($functions) (`steepness` `(` $steepness^ `)`)? (`clamp` $clamp^)?
    (`limit` `(` $limit^ `)`)? (`range` `(` $range^ `)`)? attr-dict `:` type($input)
  }];
  let hasVerifier = 1;
}

def Expert_AffineOp : Expert_Op<"affine", [Pure, AllTypesMatch<["input", "result"]>]> {
  let summary = "scale[n] * input[n] + offset[n]";
  let description = [{
    FANN's scaling parameters, of inputs or of outputs.

    ```mlir
    %u = expert.affine %x scale(dense<0.5> : tensor<2xf32>) offset(dense<-1.0> : tensor<2xf32>) : tensor<2xf32>
    ```
  }];
  let arguments = (ins Expert_Vector:$input, F32ElementsAttr:$scale, F32ElementsAttr:$offset);
  let results = (outs Expert_Vector:$result);
  let assemblyFormat = "$input `scale` `(` $scale `)` `offset` `(` $offset `)` attr-dict `:` type($input)";
  let hasVerifier = 1;
}

def Expert_ConcatOp : Expert_Op<"concat", [Pure]> {
  let summary = "values one after another";
  let description = [{
    What a layer of a shortcut network reads: the values of several layers.

    ```mlir
    %c = expert.concat %x, %a : tensor<2xf32>, tensor<3xf32> -> tensor<5xf32>
    ```
  }];
  let arguments = (ins Variadic<Expert_Vector>:$inputs);
  let results = (outs Expert_Vector:$result);
  let assemblyFormat = "$inputs attr-dict `:` type($inputs) `->` type($result)";
  let hasVerifier = 1;
}

def Expert_SoftmaxOp : Expert_Op<"softmax", [Pure, AllTypesMatch<["input", "result"]>]> {
  let summary = "softmax of scaled values: a head";
  let description = [{
    `result[n] = exp(scale * input[n]) / sum over i of exp(scale * input[i])`. Only before the yield.

    ```mlir
    %p = expert.softmax %y scale 0.5 : tensor<3xf32>
    ```
  }];
  let arguments = (ins Expert_Vector:$input, F32Attr:$scale);
  let results = (outs Expert_Vector:$result);
  let assemblyFormat = "$input `scale` $scale attr-dict `:` type($input)";
}

def Expert_ArgmaxOp : Expert_Op<"argmax", [Pure]> {
  let summary = "index of the first largest value: a head";
  let description = [{
    One element. Only before the yield.

    ```mlir
    %i = expert.argmax %y : tensor<3xf32> -> tensor<1xf32>
    ```
  }];
  let arguments = (ins Expert_Vector:$input);
  let results = (outs Expert_Vector:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Expert_YieldOp : Expert_Op<"yield", [Terminator, HasParent<"DefineOp">]> {
  let summary = "the outputs of the expert";
  let arguments = (ins Expert_Vector:$value);
  let assemblyFormat = "$value attr-dict `:` type($value)";
}

#endif // KIMIC_EXPERT_OPS
