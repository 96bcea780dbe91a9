// RUN: kimic-opt %s -split-input-file -verify-diagnostics

qexpert.define @scale(%x: tensor<2xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{'qexpert.quantize' op scale has 1 elements, but the result has 2}}
  %c = qexpert.quantize %x scale(dense<1.0> : tensor<1xf32>) bounds [-1.0, 1.0] : tensor<2xf32> -> tensor<2xi16>
  qexpert.yield %x : tensor<2xf32>
}

// -----

qexpert.define @bounds(%x: tensor<2xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{'qexpert.quantize' op bounds [-3.276900e+04, 1.000000e+00] are not ordered within [-32768, 32767]}}
  %c = qexpert.quantize %x scale(dense<1.0> : tensor<2xf32>) bounds [-32769.0, 1.0] : tensor<2xf32> -> tensor<2xi16>
  qexpert.yield %x : tensor<2xf32>
}

// -----

qexpert.define @columns(%x: tensor<2xf32>) -> tensor<2xf32> {
  %c = qexpert.quantize %x scale(dense<1.0> : tensor<2xf32>) bounds [-1.0, 1.0] : tensor<2xf32> -> tensor<2xi16>
  // expected-error @+1 {{'qexpert.linear' op weights have 3 columns, but the input has 2 elements}}
  %s = qexpert.linear %c weights(dense<1> : tensor<1x3xi8>) bias(dense<0> : tensor<1xi32>)
         : tensor<2xi16> -> tensor<1xi32>
  qexpert.yield %x : tensor<2xf32>
}

// -----

qexpert.define @groups(%x: tensor<2xf32>) -> tensor<2xf32> {
  %c = qexpert.quantize %x scale(dense<1.0> : tensor<2xf32>) bounds [-1.0, 1.0] : tensor<2xf32> -> tensor<2xi16>
  %s = qexpert.linear %c weights(dense<1> : tensor<2x2xi8>) bias(dense<0> : tensor<2xi32>)
         : tensor<2xi16> -> tensor<2xi32>
  // expected-error @+1 {{'qexpert.activation' op groups cover 3 outputs, but the result has 2}}
  %y = qexpert.activation %s groups [linear x 3] multiplier(dense<1.0> : tensor<2xf32>) : tensor<2xi32> -> tensor<2xf32>
  qexpert.yield %y : tensor<2xf32>
}

// -----

qexpert.define @limit(%x: tensor<2xf32>) -> tensor<2xf32> {
  %c = qexpert.quantize %x scale(dense<1.0> : tensor<2xf32>) bounds [-1.0, 1.0] : tensor<2xf32> -> tensor<2xi16>
  %s = qexpert.linear %c weights(dense<1> : tensor<2x2xi8>) bias(dense<0> : tensor<2xi32>)
         : tensor<2xi16> -> tensor<2xi32>
  // expected-error @+1 {{'qexpert.activation' op has a clamped group, but no limit}}
  %y = qexpert.activation %s groups [linear x 2 clamped] multiplier(dense<1.0> : tensor<2xf32>)
         : tensor<2xi32> -> tensor<2xf32>
  qexpert.yield %y : tensor<2xf32>
}

// -----

qexpert.define @codes(%x: tensor<2xf32>) -> tensor<2xf32> {
  %c = qexpert.quantize %x scale(dense<1.0> : tensor<2xf32>) bounds [-1.0, 1.0] : tensor<2xf32> -> tensor<2xi16>
  %s = qexpert.linear %c weights(dense<1> : tensor<2x2xi8>) bias(dense<0> : tensor<2xi32>)
         : tensor<2xi16> -> tensor<2xi32>
  // expected-error @+1 {{'qexpert.activation' op gives codes, but has no bounds}}
  %a = qexpert.activation %s groups [linear x 2] multiplier(dense<1.0> : tensor<2xf32>) : tensor<2xi32> -> tensor<2xi16>
  qexpert.yield %x : tensor<2xf32>
}

// -----

// expected-error @+1 {{'qexpert.expert' op needs either a signature or a kernel}}
qexpert.expert @neither parameters(dense<0> : tensor<16xi8>)

// -----

// expected-error @+1 {{'qexpert.expert' op has 16 bytes of parameters, but its signature needs}}
qexpert.expert @size signature(<2 -> [0: linear x 1]>) parameters(dense<0> : tensor<16xi8>)

// -----

// expected-error @+1 {{'qexpert.kernel' op has 1 bytes of parameters, but its signature needs}}
qexpert.kernel @size signature(<2 -> [0: linear x 1]>) parameters 1 scratch 16

// -----

// expected-error @+1 {{layer 0}}
qexpert.kernel @reads signature(<2 -> [3: linear x 1]>) parameters 1 scratch 16

// -----

// expected-error @+1 {{an activation group has 0 outputs, but needs at least 1}}
qexpert.kernel @empty signature(<2 -> [0: linear x 0]>) parameters 1 scratch 16

// -----

// expected-error @+1 {{expected 'residual' or 'float32', 'affine', 'softmax' or 'argmax', 'sparse', in this order}}
qexpert.kernel @order signature(<2 -> [0: linear x 1], softmax, affine>) parameters 1 scratch 16

// -----

// expected-error @+1 {{group 0 is not clamped, but all groups of float32 layers are}}
qexpert.kernel @unclamped signature(<2 -> [0: linear x 1], float32>) parameters 1 scratch 16
