// RUN: kimic-opt %s | kimic-opt | FileCheck %s

// CHECK-LABEL: qexpert.define @shortcut(%{{.*}}: tensor<2xf32>) -> tensor<1xf32> {
qexpert.define @shortcut(%x: tensor<2xf32>) -> tensor<1xf32> {
  // CHECK: qexpert.quantize %{{.*}} scale(dense<8.191000e+03> : tensor<2xf32>) bounds [-3.276800e+04, 3.276700e+04] : tensor<2xf32> -> tensor<2xi16>
  %c = qexpert.quantize %x scale(dense<8191.0> : tensor<2xf32>) bounds [-32768.0, 32767.0]
         : tensor<2xf32> -> tensor<2xi16>
  // CHECK: qexpert.linear %{{.*}} weights(dense<{{.*}}> : tensor<3x2xi8>) bias(dense<5> : tensor<3xi32>) : tensor<2xi16> -> tensor<3xi32>
  %s = qexpert.linear %c weights(dense<[[127, -3], [1, 2], [3, 4]]> : tensor<3x2xi8>) bias(dense<5> : tensor<3xi32>)
         : tensor<2xi16> -> tensor<3xi32>
  // CHECK: qexpert.activation %{{.*}} groups [sigmoid_symmetric x 2, linear x 1 clamped] multiplier(dense<1.000000e+00> : tensor<3xf32>) limit(dense<3.000000e+02> : tensor<3xf32>) bounds [-3.276800e+04, 3.276700e+04] : tensor<3xi32> -> tensor<3xi16>
  %a = qexpert.activation %s groups [sigmoid_symmetric x 2, linear x 1 clamped] multiplier(dense<1.0> : tensor<3xf32>)
         limit(dense<300.0> : tensor<3xf32>) bounds [-32768.0, 32767.0] : tensor<3xi32> -> tensor<3xi16>
  // CHECK: qexpert.concat %{{.*}}, %{{.*}} : tensor<2xi16>, tensor<3xi16> -> tensor<5xi16>
  %d = qexpert.concat %c, %a : tensor<2xi16>, tensor<3xi16> -> tensor<5xi16>
  %t = qexpert.linear %d weights(dense<1> : tensor<1x5xi8>) bias(dense<0> : tensor<1xi32>)
         : tensor<5xi16> -> tensor<1xi32>
  // CHECK: qexpert.activation %{{.*}} groups [linear x 1] multiplier(dense<1.000000e+00> : tensor<1xf32>) : tensor<1xi32> -> tensor<1xf32>
  %y = qexpert.activation %t groups [linear x 1] multiplier(dense<1.0> : tensor<1xf32>) : tensor<1xi32> -> tensor<1xf32>
  // CHECK: qexpert.affine %{{.*}} gain(dense<2.000000e+00> : tensor<1xf32>) offset(dense<1.000000e+00> : tensor<1xf32>) : tensor<1xf32>
  %z = qexpert.affine %y gain(dense<2.0> : tensor<1xf32>) offset(dense<1.0> : tensor<1xf32>) : tensor<1xf32>
  // CHECK: qexpert.yield %{{.*}} : tensor<1xf32>
  qexpert.yield %z : tensor<1xf32>
}

// CHECK: qexpert.kernel @float signature(<2 -> [0: linear x 1 clamped], float32, affine, softmax>) parameters 128 scratch 384
qexpert.kernel @float signature(<2 -> [0: linear x 1 clamped], float32, affine, softmax>) parameters 128 scratch 384

// CHECK: qexpert.kernel @residual signature(<2 -> [0: linear x 1], residual, argmax>) parameters 96 scratch 384
qexpert.kernel @residual signature(<2 -> [0: linear x 1], residual, argmax>) parameters 96 scratch 384

// Room for the residual row of the only output.
// CHECK: qexpert.expert @row signature(<2 -> [0: linear x 1], residual>) parameters(dense<0> : tensor<112xi8>)
qexpert.expert @row signature(<2 -> [0: linear x 1], residual>) parameters(dense<0> : tensor<112xi8>)
