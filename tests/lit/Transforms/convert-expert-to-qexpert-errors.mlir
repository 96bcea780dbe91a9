// RUN: kimic-opt %s -split-input-file -verify-diagnostics --convert-expert-to-qexpert

// expected-error @+1 {{'expert.define' op has no ranges: run expert-calibrate first}}
expert.define @uncalibrated(%x: tensor<1xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<2.0> : tensor<1x1xf32>) bias(dense<1.0> : tensor<1xf32>)
         : tensor<1xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [linear x 1] : tensor<1xf32>
  expert.yield %a : tensor<1xf32>
}

// -----

// expected-error @+1 {{'expert.define' op has a steepness: run expert-fold-steepness first}}
expert.define @steep(%x: tensor<1xf32>) -> tensor<1xf32> range(dense<[[-1.0, 1.0]]> : tensor<1x2xf32>) {
  %s = expert.linear %x weights(dense<2.0> : tensor<1x1xf32>) bias(dense<1.0> : tensor<1xf32>)
         : tensor<1xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [linear x 1] steepness(dense<1.0> : tensor<1xf32>) : tensor<1xf32>
  expert.yield %a : tensor<1xf32>
}

// -----

// expected-error @+1 {{'expert.define' op neuron 0 of layer 1 has weights too large for a multiplier in float32}}
expert.define @huge(%x: tensor<1xf32>) -> tensor<1xf32> range(dense<[[-1.0e10, 1.0e10]]> : tensor<1x2xf32>) {
  %s = expert.linear %x weights(dense<3.0e38> : tensor<1x1xf32>) bias(dense<1.0> : tensor<1xf32>)
         : tensor<1xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [sigmoid x 1] range(dense<[[0.0, 1.0]]> : tensor<1x2xf32>) : tensor<1xf32>
  expert.yield %a : tensor<1xf32>
}
