// RUN: kimic-opt %s -split-input-file -verify-diagnostics --expert-fold-steepness

// Every pass of the expert dialect works on bodies of layers; these are none.

expert.define @unactivated(%x: tensor<2xf32>) -> tensor<2xf32> {
  %s = expert.linear %x weights(dense<1.0> : tensor<2x2xf32>) bias(dense<0.0> : tensor<2xf32>)
         : tensor<2xf32> -> tensor<2xf32>
  // expected-error @+1 {{'expert.linear' op follows another linear without an activation between them}}
  %t = expert.linear %s weights(dense<1.0> : tensor<2x2xf32>) bias(dense<0.0> : tensor<2xf32>)
         : tensor<2xf32> -> tensor<2xf32>
  expert.yield %t : tensor<2xf32>
}

// -----

expert.define @skips(%x: tensor<2xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<1.0> : tensor<1x2xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [linear x 1] : tensor<1xf32>
  // expected-error @+1 {{'expert.linear' op does not read up to the latest of the values before it}}
  %t = expert.linear %x weights(dense<1.0> : tensor<1x2xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  %b = expert.activation %t functions [linear x 1] : tensor<1xf32>
  expert.yield %b : tensor<1xf32>
}

// -----

expert.define @reordered(%x: tensor<2xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<1.0> : tensor<1x2xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [linear x 1] : tensor<1xf32>
  // expected-error @+1 {{'expert.concat' op operand 1 does not follow the one before it in the order of layers}}
  %c = expert.concat %a, %x : tensor<1xf32>, tensor<2xf32> -> tensor<3xf32>
  %t = expert.linear %c weights(dense<1.0> : tensor<1x3xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<3xf32> -> tensor<1xf32>
  %b = expert.activation %t functions [linear x 1] : tensor<1xf32>
  expert.yield %b : tensor<1xf32>
}

// -----

expert.define @early(%x: tensor<2xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{'expert.yield' op does not yield the result of the last layer}}
  expert.yield %x : tensor<2xf32>
}

// -----

expert.define @middle(%x: tensor<2xf32>) -> tensor<1xf32> {
  %u = expert.affine %x scale(dense<1.0> : tensor<2xf32>) offset(dense<1.0> : tensor<2xf32>) : tensor<2xf32>
  // expected-error @+1 {{'expert.affine' op is neither on the input nor on the result of the last layer}}
  %v = expert.affine %u scale(dense<1.0> : tensor<2xf32>) offset(dense<1.0> : tensor<2xf32>) : tensor<2xf32>
  %s = expert.linear %v weights(dense<1.0> : tensor<1x2xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [linear x 1] : tensor<1xf32>
  expert.yield %a : tensor<1xf32>
}
