// RUN: split-file %s %t
// RUN: kimic-opt %t/unknown.mlir -verify-diagnostics --kimic-verify-phase=phase=nothing
// RUN: kimic-opt %t/infinite.mlir -verify-diagnostics --kimic-verify-phase=phase=import
// RUN: kimic-opt %t/steep.mlir -verify-diagnostics --kimic-verify-phase=phase=normalize
// RUN: kimic-opt %t/unsorted.mlir -verify-diagnostics --kimic-verify-phase=phase=normalize
// RUN: kimic-opt %t/uncalibrated.mlir -verify-diagnostics --kimic-verify-phase=phase=calibrate
// RUN: kimic-opt %t/left.mlir -verify-diagnostics --kimic-verify-phase=phase=quantize
// RUN: kimic-opt %t/overflow.mlir -verify-diagnostics --kimic-verify-phase=phase=quantize
// RUN: kimic-opt %t/packed.mlir -verify-diagnostics --kimic-verify-phase=phase=outline

//--- unknown.mlir
// expected-error @+1 {{phase 'nothing' has no contract; the phases are import, normalize, calibrate, quantize, pack and outline}}
module {}

//--- infinite.mlir
expert.define @infinite(%x: tensor<1xf32>) -> tensor<1xf32> {
  // expected-error @+1 {{'expert.linear' op bias holds a number that is not finite}}
  %s = expert.linear %x weights(dense<1.0> : tensor<1x1xf32>) bias(dense<0x7F800000> : tensor<1xf32>)
         : tensor<1xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [linear x 1] : tensor<1xf32>
  expert.yield %a : tensor<1xf32>
}

//--- steep.mlir
// expected-error @+1 {{'expert.define' op layer 1 still has a steepness}}
expert.define @steep(%x: tensor<1xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<1.0> : tensor<1x1xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<1xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [linear x 1] steepness(dense<1.0> : tensor<1xf32>) : tensor<1xf32>
  expert.yield %a : tensor<1xf32>
}

//--- unsorted.mlir
// expected-error @+1 {{'expert.define' op layer 1 is not grouped by function}}
expert.define @unsorted(%x: tensor<1xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<1.0> : tensor<2x1xf32>) bias(dense<0.0> : tensor<2xf32>)
         : tensor<1xf32> -> tensor<2xf32>
  %a = expert.activation %s functions [sigmoid x 1, linear x 1] : tensor<2xf32>
  %t = expert.linear %a weights(dense<1.0> : tensor<1x2xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  %y = expert.activation %t functions [linear x 1] : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}

//--- uncalibrated.mlir
// expected-error @+1 {{'expert.define' op layer 1 has no range}}
expert.define @uncalibrated(%x: tensor<1xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<1.0> : tensor<1x1xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<1xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [linear x 1] : tensor<1xf32>
  expert.yield %a : tensor<1xf32>
}

//--- left.mlir
// expected-error @+1 {{'expert.define' op may not remain after phase 'quantize'}}
expert.define @left(%x: tensor<1xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<1.0> : tensor<1x1xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<1xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [linear x 1] : tensor<1xf32>
  expert.yield %a : tensor<1xf32>
}

//--- overflow.mlir
// expected-error @+1 {{'qexpert.define' op}}
qexpert.define @overflow(%x: tensor<1xf32>) -> tensor<1xf32> {
  %c = qexpert.quantize %x scale(dense<8191.0> : tensor<1xf32>) bounds [-32768.0, 32767.0] : tensor<1xf32> -> tensor<1xi16>
  %s = qexpert.linear %c weights(dense<1> : tensor<1x1xi8>) bias(dense<2147483647> : tensor<1xi32>) : tensor<1xi16> -> tensor<1xi32>
  %y = qexpert.activation %s groups [linear x 1] multiplier(dense<1.0> : tensor<1xf32>) : tensor<1xi32> -> tensor<1xf32>
  qexpert.yield %y : tensor<1xf32>
}

//--- packed.mlir
qexpert.kernel @k signature(<1 -> [0: linear x 1]>) parameters 80 scratch 256
// expected-error @+1 {{'qexpert.expert' op names the kernel @other, which does not exist}}
qexpert.expert @e kernel(@other) parameters(dense<0> : tensor<16xi8>)
