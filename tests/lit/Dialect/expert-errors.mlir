// RUN: kimic-opt %s -split-input-file -verify-diagnostics

expert.define @columns(%x: tensor<2xf32>) -> tensor<1xf32> {
  // expected-error @+1 {{'expert.linear' op weights have 3 columns, but the input has 2 elements}}
  %s = expert.linear %x weights(dense<1.0> : tensor<1x3xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  expert.yield %s : tensor<1xf32>
}

// -----

expert.define @rows(%x: tensor<2xf32>) -> tensor<1xf32> {
  // expected-error @+1 {{'expert.linear' op weights have 2 rows, but the result has 1 elements}}
  %s = expert.linear %x weights(dense<1.0> : tensor<2x2xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  expert.yield %s : tensor<1xf32>
}

// -----

expert.define @bias(%x: tensor<2xf32>) -> tensor<1xf32> {
  // expected-error @+1 {{'expert.linear' op bias has 2 elements, but the result has 1}}
  %s = expert.linear %x weights(dense<1.0> : tensor<1x2xf32>) bias(dense<0.0> : tensor<2xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  expert.yield %s : tensor<1xf32>
}

// -----

expert.define @range(%x: tensor<2xf32>) -> tensor<1xf32> {
  // expected-error @+1 {{'expert.linear' op range is 'tensor<2x2xf32>', but a value of 1 elements needs 1x2}}
  %s = expert.linear %x weights(dense<1.0> : tensor<1x2xf32>) bias(dense<0.0> : tensor<1xf32>)
         range(dense<0.0> : tensor<2x2xf32>) : tensor<2xf32> -> tensor<1xf32>
  expert.yield %s : tensor<1xf32>
}

// -----

expert.define @covered(%x: tensor<3xf32>) -> tensor<3xf32> {
  // expected-error @+1 {{'expert.activation' op functions cover 2 neurons, but the result has 3}}
  %a = expert.activation %x functions [sigmoid x 2] : tensor<3xf32>
  expert.yield %a : tensor<3xf32>
}

// -----

expert.define @unknown(%x: tensor<3xf32>) -> tensor<3xf32> {
  // expected-error @+1 {{'relu' is not one of FANN's twenty activation functions}}
  %a = expert.activation %x functions [relu x 3] : tensor<3xf32>
  expert.yield %a : tensor<3xf32>
}

// -----

expert.define @empty(%x: tensor<3xf32>) -> tensor<3xf32> {
  // expected-error @+1 {{a run of an activation function has 0 neurons, but needs at least 1}}
  %a = expert.activation %x functions [sigmoid x 0] : tensor<3xf32>
  expert.yield %a : tensor<3xf32>
}

// -----

expert.define @clamp(%x: tensor<3xf32>) -> tensor<3xf32> {
  // expected-error @+1 {{'expert.activation' op has clamp without steepness: the clamp is +-150/steepness}}
  %a = expert.activation %x functions [sigmoid x 3] clamp : tensor<3xf32>
  expert.yield %a : tensor<3xf32>
}

// -----

expert.define @both(%x: tensor<3xf32>) -> tensor<3xf32> {
  // expected-error @+1 {{'expert.activation' op has a limit and a steepness, but a limit is for folded steepness}}
  %a = expert.activation %x functions [sigmoid x 3] steepness(dense<1.0> : tensor<3xf32>)
         limit(dense<1.0> : tensor<3xf32>) : tensor<3xf32>
  expert.yield %a : tensor<3xf32>
}

// -----

expert.define @affine(%x: tensor<3xf32>) -> tensor<3xf32> {
  // expected-error @+1 {{'expert.affine' op offset has 2 elements, but the result has 3}}
  %a = expert.affine %x scale(dense<1.0> : tensor<3xf32>) offset(dense<1.0> : tensor<2xf32>) : tensor<3xf32>
  expert.yield %a : tensor<3xf32>
}

// -----

expert.define @concat(%x: tensor<3xf32>) -> tensor<5xf32> {
  // expected-error @+1 {{'expert.concat' op inputs have 6 elements together, but the result has 5}}
  %c = expert.concat %x, %x : tensor<3xf32>, tensor<3xf32> -> tensor<5xf32>
  expert.yield %c : tensor<5xf32>
}

// -----

expert.define @yield(%x: tensor<3xf32>) -> tensor<5xf32> {
  // expected-error @+1 {{'expert.yield' op yields 'tensor<3xf32>', but the expert's result is 'tensor<5xf32>'}}
  expert.yield %x : tensor<3xf32>
}

// -----

// expected-error @+1 {{'expert.define' op input type 'tensor<?xf32>' needs a static length of at least 1}}
expert.define @dynamic(%x: tensor<?xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<1.0> : tensor<1x1xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<?xf32> -> tensor<1xf32>
  expert.yield %s : tensor<1xf32>
}

// -----

expert.define @choices(%x: tensor<3xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{'expert.argmax' op has 2 results, but needs one}}
  %i = expert.argmax %x : tensor<3xf32> -> tensor<2xf32>
  expert.yield %i : tensor<2xf32>
}
