// Rounding to nearest, so that every number can be checked by hand; what the search adds is tested as properties.
// RUN: kimic-opt %s --convert-expert-to-qexpert="sequential=false clip-search=false error-compensation=false bias-correction=false sensitivity=false wide-codes=false balanced-inputs=false" | FileCheck %s

// A row of weights 2 and -1 with inputs in [-1, 1]: 2 becomes 127, -1 becomes -63.5, to even. One unit of the sum is
// 2 / (127 * 8191), so the bias 0.5 becomes 260064.25.
// CHECK-LABEL: qexpert.define @tanh
// CHECK: qexpert.quantize %{{.*}} scale(dense<8.191000e+03> : tensor<2xf32>) bounds [-3.276800e+04, 3.276700e+04]
// CHECK: qexpert.linear %{{.*}} weights(dense<{{\[}}[127, -64]]> : tensor<1x2xi8>) bias(dense<260064> : tensor<1xi32>)
// CHECK: qexpert.activation %{{.*}} groups [sigmoid_symmetric x 1] multiplier(dense<1.922{{[0-9]*}}E-6> : tensor<1xf32>) : tensor<1xi32> -> tensor<1xf32>
expert.define @tanh(%x: tensor<2xf32>) -> tensor<1xf32> range(dense<[[-1.0, 1.0], [-1.0, 0.5]]> : tensor<2x2xf32>) {
  %s = expert.linear %x weights(dense<[[2.0, -1.0]]> : tensor<1x2xf32>) bias(dense<0.5> : tensor<1xf32>)
         range(dense<[[-2.5, 3.5]]> : tensor<1x2xf32>) : tensor<2xf32> -> tensor<1xf32>
  %y = expert.activation %s functions [sigmoid_symmetric x 1] limit(dense<300.0> : tensor<1xf32>)
         range(dense<[[-1.0, 1.0]]> : tensor<1x2xf32>) : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}

// Ranges of inputs that differ by more than a factor of 16 get scales of their own.
// CHECK-LABEL: qexpert.define @inputs
// CHECK: qexpert.quantize %{{.*}} scale(dense<[8.191000e+03, 8.191000e+01]> : tensor<2xf32>)
// CHECK: weights(dense<{{\[}}[1, 127]]> : tensor<1x2xi8>)
expert.define @inputs(%x: tensor<2xf32>) -> tensor<1xf32> range(dense<[[-1.0, 1.0], [0.0, 100.0]]> : tensor<2x2xf32>) {
  %s = expert.linear %x weights(dense<[[1.0, 1.0]]> : tensor<1x2xf32>) bias(dense<0.0> : tensor<1xf32>)
         range(dense<[[-1.0, 101.0]]> : tensor<1x2xf32>) : tensor<2xf32> -> tensor<1xf32>
  %y = expert.activation %s functions [linear x 1] range(dense<[[-1.0, 101.0]]> : tensor<1x2xf32>) : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}

// A hidden sigmoid's code is 2^14 value - 2^13: its zero point, -8192, goes into the reader's bias, 127 * 8192.
// CHECK-LABEL: qexpert.define @sigmoid
// CHECK: groups [sigmoid x 1]
// CHECK-SAME: bounds [-3.276800e+04, 3.276700e+04] : tensor<1xi32> -> tensor<1xi16>
// CHECK: qexpert.linear %{{.*}} weights(dense<127> : tensor<1x1xi8>) bias(dense<1040384> : tensor<1xi32>)
expert.define @sigmoid(%x: tensor<1xf32>) -> tensor<1xf32> range(dense<[[-1.0, 1.0]]> : tensor<1x2xf32>) {
  %s = expert.linear %x weights(dense<1.0> : tensor<1x1xf32>) bias(dense<0.0> : tensor<1xf32>)
         range(dense<[[-1.0, 1.0]]> : tensor<1x2xf32>) : tensor<1xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [sigmoid x 1] range(dense<[[0.1, 0.9]]> : tensor<1x2xf32>) : tensor<1xf32>
  %t = expert.linear %a weights(dense<1.0> : tensor<1x1xf32>) bias(dense<0.0> : tensor<1xf32>)
         range(dense<[[0.1, 0.9]]> : tensor<1x2xf32>) : tensor<1xf32> -> tensor<1xf32>
  %y = expert.activation %t functions [linear x 1] range(dense<[[0.1, 0.9]]> : tensor<1x2xf32>) : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}

// A clamp is kept where it can change a result: the weighted sum of @reaches can be 4 * 60 in range of the codes, that of
// @cannot only 4 * 10. tanh is constant there, so its clamp never matters.
// CHECK-LABEL: qexpert.define @reaches
// CHECK: groups [linear x 1 clamped] {{.*}} limit(dense<1.500000e+02> : tensor<1xf32>)
expert.define @reaches(%x: tensor<1xf32>) -> tensor<1xf32> range(dense<[[-1.0, 1.0]]> : tensor<1x2xf32>) {
  %s = expert.linear %x weights(dense<60.0> : tensor<1x1xf32>) bias(dense<0.0> : tensor<1xf32>)
         range(dense<[[-60.0, 60.0]]> : tensor<1x2xf32>) : tensor<1xf32> -> tensor<1xf32>
  %y = expert.activation %s functions [linear x 1] limit(dense<150.0> : tensor<1xf32>)
         range(dense<[[-60.0, 60.0]]> : tensor<1x2xf32>) : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}
// CHECK-LABEL: qexpert.define @cannot
// CHECK: groups [linear x 1] multiplier
// CHECK-NOT: limit
expert.define @cannot(%x: tensor<1xf32>) -> tensor<1xf32> range(dense<[[-1.0, 1.0]]> : tensor<1x2xf32>) {
  %s = expert.linear %x weights(dense<10.0> : tensor<1x1xf32>) bias(dense<0.0> : tensor<1xf32>)
         range(dense<[[-10.0, 10.0]]> : tensor<1x2xf32>) : tensor<1xf32> -> tensor<1xf32>
  %y = expert.activation %s functions [linear x 1] limit(dense<150.0> : tensor<1xf32>)
         range(dense<[[-10.0, 10.0]]> : tensor<1x2xf32>) : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}

// 600 weights of 127 times 32768 leave i32: the inputs' codes are bounded at twice the calibrated range.
// CHECK-LABEL: qexpert.define @wide
// CHECK: bounds [-1.638400e+04, 1.638400e+04]
// CHECK: weights(dense<127> : tensor<1x600xi8>)
expert.define @wide(%x: tensor<600xf32>) -> tensor<1xf32> range(dense<1.0> : tensor<600x2xf32>) {
  %s = expert.linear %x weights(dense<1.0> : tensor<1x600xf32>) bias(dense<0.0> : tensor<1xf32>)
         range(dense<[[-600.0, 600.0]]> : tensor<1x2xf32>) : tensor<600xf32> -> tensor<1xf32>
  %y = expert.activation %s functions [linear x 1] range(dense<[[-600.0, 600.0]]> : tensor<1x2xf32>) : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}

// At 4000 weights even the calibrated range is too much: the row gets a coarser scale, 127 / 1.0625^11 = 65.2.
// CHECK-LABEL: qexpert.define @wider
// CHECK: bounds [-8.192000e+03, 8.192000e+03]
// CHECK: weights(dense<65> : tensor<1x4000xi8>)
expert.define @wider(%x: tensor<4000xf32>) -> tensor<1xf32> range(dense<1.0> : tensor<4000x2xf32>) {
  %s = expert.linear %x weights(dense<1.0> : tensor<1x4000xf32>) bias(dense<0.0> : tensor<1xf32>)
         range(dense<[[-4000.0, 4000.0]]> : tensor<1x2xf32>) : tensor<4000xf32> -> tensor<1xf32>
  %y = expert.activation %s functions [linear x 1] range(dense<[[-4000.0, 4000.0]]> : tensor<1x2xf32>) : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}

// Scaling of outputs stays an affine of its own.
// CHECK-LABEL: qexpert.define @scaled
// CHECK: qexpert.affine %{{.*}} gain(dense<3.000000e+00> : tensor<1xf32>) offset(dense<5.000000e+00> : tensor<1xf32>)
expert.define @scaled(%x: tensor<1xf32>) -> tensor<1xf32> range(dense<[[-1.0, 1.0]]> : tensor<1x2xf32>) {
  %s = expert.linear %x weights(dense<1.0> : tensor<1x1xf32>) bias(dense<0.0> : tensor<1xf32>)
         range(dense<[[-1.0, 1.0]]> : tensor<1x2xf32>) : tensor<1xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [sigmoid x 1] range(dense<[[0.1, 0.9]]> : tensor<1x2xf32>) : tensor<1xf32>
  %y = expert.affine %a scale(dense<3.0> : tensor<1xf32>) offset(dense<5.0> : tensor<1xf32>) : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}
