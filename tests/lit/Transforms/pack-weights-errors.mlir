// RUN: kimic-opt %s -split-input-file -verify-diagnostics --qexpert-pack-weights

qexpert.define @skips(%x: tensor<2xf32>) -> tensor<1xf32> {
  %c = qexpert.quantize %x scale(dense<1.0> : tensor<2xf32>) bounds [-1.0, 1.0] : tensor<2xf32> -> tensor<2xi16>
  %s = qexpert.linear %c weights(dense<1> : tensor<1x2xi8>) bias(dense<5> : tensor<1xi32>)
         : tensor<2xi16> -> tensor<1xi32>
  %a = qexpert.activation %s groups [sigmoid x 1] multiplier(dense<1.0> : tensor<1xf32>) bounds [-1.0, 1.0]
         : tensor<1xi32> -> tensor<1xi16>
  // expected-error @+1 {{'qexpert.linear' op does not read up to the latest of the codes before it}}
  %t = qexpert.linear %c weights(dense<1> : tensor<1x2xi8>) bias(dense<0> : tensor<1xi32>) : tensor<2xi16> -> tensor<1xi32>
  %y = qexpert.activation %t groups [linear x 1] multiplier(dense<1.0> : tensor<1xf32>) : tensor<1xi32> -> tensor<1xf32>
  qexpert.yield %y : tensor<1xf32>
}

// -----

qexpert.define @passes(%x: tensor<2xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{'qexpert.yield' op does not yield the result of the last layer}}
  qexpert.yield %x : tensor<2xf32>
}
