// RUN: kimic-opt %s -verify-diagnostics --expert-fold-constants

// expected-error @+1 {{'expert.define' op has a steepness: run expert-fold-steepness first}}
expert.define @steep(%x: tensor<1xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<2.0> : tensor<1x1xf32>) bias(dense<1.0> : tensor<1xf32>)
         : tensor<1xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [linear x 1] steepness(dense<1.0> : tensor<1xf32>) : tensor<1xf32>
  expert.yield %a : tensor<1xf32>
}
