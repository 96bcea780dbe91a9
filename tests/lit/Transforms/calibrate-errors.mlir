// RUN: kimic-opt %s -verify-diagnostics --expert-calibrate='lo=1 hi=2'

// expected-error @+1 {{'expert.define' op neuron 0 of layer 1 leaves float32 on calibration row 0}}
expert.define @huge(%x: tensor<2xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<3.0e38> : tensor<1x2xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [sigmoid x 1] : tensor<1xf32>
  expert.yield %a : tensor<1xf32>
}
