// The compiler's own passes, in the order in which the pipeline runs them (compiler/include/kimic/Phases.def).
#ifndef KIMIC_TRANSFORMS_PASSES
#define KIMIC_TRANSFORMS_PASSES

include "mlir/Pass/PassBase.td"

def FoldSteepness : Pass<"expert-fold-steepness", "mlir::ModuleOp"> {
  let summary = "multiply the steepness into weights and biases";
  let description = [{
    Afterwards no activation has a steepness. FANN's clamp, a constant of t, becomes a limit.

    ```mlir
    %s = expert.linear %x weights(dense<2.0> : tensor<1x1xf32>) bias(dense<1.0> : tensor<1xf32>) ...
    %a = expert.activation %s functions [elliot x 1] steepness(dense<0.5> : tensor<1xf32>) clamp : tensor<1xf32>
    // becomes
    %s = expert.linear %x weights(dense<1.0> : tensor<1x1xf32>) bias(dense<0.5> : tensor<1xf32>) ...
    %a = expert.activation %s functions [elliot x 1] limit(dense<300.0> : tensor<1xf32>) : tensor<1xf32>
    ```
  }];
}

def FoldAffine : Pass<"expert-fold-affine", "mlir::ModuleOp"> {
  let summary = "multiply the scaling of inputs into the layers that read them, that of outputs into a linear layer";
  let description = [{
    Afterwards no operation scales the input. The scaling of the outputs is folded where every output is linear and
    has no limit; otherwise it stays.

    ```mlir
    %u = expert.affine %x scale(dense<0.5> : tensor<1xf32>) offset(dense<1.0> : tensor<1xf32>) : tensor<1xf32>
    %s = expert.linear %u weights(dense<2.0> : tensor<1x1xf32>) bias(dense<0.0> : tensor<1xf32>) ...
    // becomes
    %s = expert.linear %x weights(dense<1.0> : tensor<1x1xf32>) bias(dense<2.0> : tensor<1xf32>) ...
    ```
  }];
}

def FoldConstants : Pass<"expert-fold-constants", "mlir::ModuleOp"> {
  let summary = "move neurons whose value is constant into the biases of their readers";
  let description = [{
    A hidden neuron without weights, or with gaussian_stepwise (which FANN never implemented: it is 0), has one value.
    Its weights in later layers become biases, and are zero afterwards: expert-drop-dead-neurons removes the neuron.
    Needs folded steepness.

    ```mlir
    // neuron 0 of %a is tanh(0.5) = 0.46211717
    %t = expert.linear %a weights(dense<[[2.0, 1.0]]> : tensor<1x2xf32>) bias(dense<0.0> : tensor<1xf32>) ...
    // becomes
    %t = expert.linear %a weights(dense<[[0.0, 1.0]]> : tensor<1x2xf32>) bias(dense<0.92423433> : tensor<1xf32>) ...
    ```
  }];
  let statistics = [Statistic<"numFolded", "neurons-folded", "neurons whose value is constant">];
}

def DropDeadNeurons : Pass<"expert-drop-dead-neurons", "mlir::ModuleOp"> {
  let summary = "remove hidden neurons that nothing reads";
  let description = [{
    A hidden neuron whose weights in all later layers are zero is removed, last layers first, so that neurons that only
    dead ones read go too. A layer keeps at least one neuron.

    ```mlir
    %s = expert.linear %x ... -> tensor<2xf32>
    %a = expert.activation %s functions [sigmoid x 2] ... : tensor<2xf32>
    %t = expert.linear %a weights(dense<[[0.0, 1.0]]> : tensor<1x2xf32>) ... : tensor<2xf32> -> tensor<1xf32>
    // becomes
    %s = expert.linear %x ... -> tensor<1xf32>
    %a = expert.activation %s functions [sigmoid x 1] ... : tensor<1xf32>
    %t = expert.linear %a weights(dense<1.0> : tensor<1x1xf32>) ... : tensor<1xf32> -> tensor<1xf32>
    ```
  }];
  let statistics = [Statistic<"numDropped", "neurons-dropped", "hidden neurons removed">];
}

def GroupActivations : Pass<"expert-group-activations", "mlir::ModuleOp"> {
  let summary = "sort the neurons of hidden layers by activation function";
  let description = [{
    A stable permutation by FANN's number of the function, applied to the columns of all later layers too, so that a
    kernel evaluates each function once per layer. Outputs keep their order.

    ```mlir
    %a = expert.activation %s functions [elliot x 1, sigmoid x 1, elliot x 1] ...
    // becomes, with rows and columns permuted
    %a = expert.activation %s functions [sigmoid x 1, elliot x 2] ...
    ```
  }];
}

def Calibrate : Pass<"expert-calibrate", "mlir::ModuleOp"> {
  let summary = "find the range of every value";
  let description = [{
    Evaluates each expert in float64 on calibration data and attaches to the input, to every linear and to every
    activation the least and the greatest value of each element. Reports an expert whose values are not finite.
    Without data (in kimic-opt) the rows are generated: the first has `lo` everywhere, the second `hi`, the rest are
    uniform in between, always the same.

    ```mlir
    %s = expert.linear %x weights(dense<2.0> : tensor<1x1xf32>) bias(dense<0.0> : tensor<1xf32>)
           : tensor<1xf32> -> tensor<1xf32>
    // becomes, with --expert-calibrate='lo=-1 hi=1'
    %s = expert.linear %x weights(dense<2.0> : tensor<1x1xf32>) bias(dense<0.0> : tensor<1xf32>)
           range(dense<[[-2.0, 2.0]]> : tensor<1x2xf32>) : tensor<1xf32> -> tensor<1xf32>
    ```
  }];
  let options = [
    Option<"lo", "lo", "float", "-1.0f", "least generated input">,
    Option<"hi", "hi", "float", "1.0f", "greatest generated input">,
    Option<"rows", "rows", "uint32_t", "256", "generated rows">
  ];
}

def ConvertExpertToQExpert : Pass<"convert-expert-to-qexpert", "mlir::ModuleOp"> {
  let summary = "quantize: 8-bit weights per row, 14-bit codes, exact sums";
  let description = [{
    The default class of formats/spec/quantization-v1.md. Needs normalized and calibrated experts.

    compiler/Quantize chooses the numbers; docs/accuracy.md describes how. Without calibration data (in kimic-opt), it
    works on rows generated in the ranges of the inputs, always the same.

    * Inputs: one scale for all unless their ranges differ by more than a factor of `uniform-input-ratio`; codes
      saturate some way beyond the calibrated range.
    * Weights: symmetric per row, with the scale and the roundings that do the least to the outputs; without the
      options below the largest is +-127 and all are rounded to nearest. Scales of the codes read are multiplied in
      first, zero points go into the bias.
    * Hidden linear and ReLU layers get a scale of their own from their calibrated range, folded into the multiplier.
    * Groups are marked `clamped` only where FANN's clamp can change a result.
    * The sum of every row provably stays in i32: if it might not, codes of inputs and unbounded layers are bounded
      more tightly, down to the calibrated range, and then the row's weights get a coarser scale.

    Experts with residual or float32 weights or with a head become a qexpert.expert at once.

    ```mlir
    expert.define @e(%x: tensor<1xf32>) -> tensor<1xf32> range(...) {
      %s = expert.linear %x weights(dense<2.0> : tensor<1x1xf32>) bias(dense<0.0> : tensor<1xf32>) ...
      %y = expert.activation %s functions [sigmoid_symmetric x 1] ...
    // becomes
    qexpert.define @e(%x: tensor<1xf32>) -> tensor<1xf32> {
      %c = qexpert.quantize %x scale(dense<8191.0> : tensor<1xf32>) bounds [-32768.0, 32767.0] ...
      %s = qexpert.linear %c weights(dense<127> : tensor<1x1xi8>) bias(dense<0> : tensor<1xi32>) ...
      %y = qexpert.activation %s groups [sigmoid_symmetric x 1] multiplier(dense<1.92258e-06> : tensor<1xf32>) ...
    ```
  }];
  let dependentDialects = ["qexpert::QExpertDialect"];
  let options = [
    Option<"rows", "rows", "uint32_t", "256", "generated rows, uniform in the ranges of the inputs">,
    Option<"sequential", "sequential", "bool", "true", "fit rows to the float sums, given the codes there are">,
    Option<"clipSearch", "clip-search", "bool", "true", "try scales at which the largest weights saturate">,
    Option<"errorCompensation", "error-compensation", "bool", "true", "round weights so as to undo others' errors">,
    Option<"biasCorrection", "bias-correction", "bool", "true", "choose the bias after the weights">,
    Option<"sensitivity", "sensitivity", "bool", "true", "weigh data by what errors do to the outputs">,
    Option<"wideCodes", "wide-codes", "bool", "true", "calibrated ranges at 16383 where sums allow, not 8191">,
    Option<"balancedInputs", "balanced-inputs", "bool", "true",
           "scales of inputs that even out the largest weights of each, if that is better">,
    Option<"uniformInputRatio", "uniform-input-ratio", "float", "16.0f",
           "without balanced-inputs, inputs whose ranges differ by more get a scale each">
  ];
}

def PackWeights : Pass<"qexpert-pack-weights", "mlir::ModuleOp"> {
  let summary = "turn each quantized expert into a signature and a parameter block";
  let description = [{
    The block is laid out as the kernels read it (formats/spec/kernel-abi-v1.md).

    ```mlir
    qexpert.define @e(%x: tensor<2xf32>) -> tensor<1xf32> { ... }
    // becomes
    qexpert.expert @e signature(<2 -> [0: sigmoid_symmetric x 1]>) parameters(dense<...> : tensor<128xi8>)
    ```
  }];
}

def Schedule : Pass<"qexpert-schedule", "mlir::ModuleOp"> {
  let summary = "choose how kernels go through their sums";
  let description = [{
    Sets the schedules of packed experts in their signatures, as the cost model says (CostModel.h), and drops the
    `activity` that they were chosen by. An expert of another schedule has another kernel; its bits are the same.

    ```mlir
    qexpert.expert @e signature(<1024 -> [0: linear x 48]>) parameters(...) {activity = 0.15 : f32}
    // becomes
    qexpert.expert @e signature(<1024 -> [0: linear x 48], sparse>) parameters(...)
    ```
  }];
  let statistics = [Statistic<"numSparse", "sparse", "experts whose first layer skips inputs">];
}

def OutlineKernels : Pass<"qexpert-outline-kernels", "mlir::ModuleOp"> {
  let summary = "make one kernel per distinct signature";
  let description = [{
    Kernels follow in order of first use and are named by quant::kernelName.

    ```mlir
    qexpert.expert @a signature(<2 -> [0: linear x 1]>) parameters(...)
    qexpert.expert @b signature(<2 -> [0: linear x 1]>) parameters(...)
    // becomes
    qexpert.kernel @"w8a14_2-1_linear" signature(<2 -> [0: linear x 1]>) parameters 80 scratch 256
    qexpert.expert @a kernel(@"w8a14_2-1_linear") parameters(...)
    qexpert.expert @b kernel(@"w8a14_2-1_linear") parameters(...)
    ```
  }];
  let statistics = [Statistic<"numKernels", "kernels", "distinct kernels">];
}

def VerifyPhase : Pass<"kimic-verify-phase", "mlir::ModuleOp"> {
  let summary = "check the contract of a phase";
  let description = [{
    | phase | contract |
    |---|---|
    | import | only expert.define, each a body of layers; every number is finite |
    | normalize | and no steepness, no scaling of inputs; hidden layers have one run per function |
    | calibrate | and every value has a finite range |
    | quantize | only qexpert.define, or qexpert.expert of a precision or head that it has no operations for; no row can leave i32, whatever the input |
    | pack | only qexpert.expert with a signature and a valid block |
    | outline | only qexpert.kernel and qexpert.expert, whose blocks have their kernel's size; kernels are distinct |
  }];
  let options = [Option<"phase", "phase", "std::string", "\"import\"", "name of the phase">];
}

#endif // KIMIC_TRANSFORMS_PASSES
