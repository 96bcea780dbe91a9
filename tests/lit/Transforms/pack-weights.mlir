// RUN: kimic-opt %s --qexpert-pack-weights | FileCheck %s

// CHECK: qexpert.expert @cascade signature(<2 -> [0: sigmoid_symmetric x 1] -> [0: linear x 1 clamped], affine>) parameters(dense<
// CHECK-NOT: qexpert.define
qexpert.define @cascade(%x: tensor<2xf32>) -> tensor<1xf32> {
  %c = qexpert.quantize %x scale(dense<8191.0> : tensor<2xf32>) bounds [-32768.0, 32767.0] : tensor<2xf32> -> tensor<2xi16>
  %s = qexpert.linear %c weights(dense<[[127, -3]]> : tensor<1x2xi8>) bias(dense<5> : tensor<1xi32>)
         : tensor<2xi16> -> tensor<1xi32>
  %a = qexpert.activation %s groups [sigmoid_symmetric x 1] multiplier(dense<1.0> : tensor<1xf32>)
         bounds [-32768.0, 32767.0] : tensor<1xi32> -> tensor<1xi16>
  %d = qexpert.concat %c, %a : tensor<2xi16>, tensor<1xi16> -> tensor<3xi16>
  %t = qexpert.linear %d weights(dense<1> : tensor<1x3xi8>) bias(dense<0> : tensor<1xi32>) : tensor<3xi16> -> tensor<1xi32>
  %y = qexpert.activation %t groups [linear x 1 clamped] multiplier(dense<1.0> : tensor<1xf32>)
         limit(dense<150.0> : tensor<1xf32>) : tensor<1xi32> -> tensor<1xf32>
  %z = qexpert.affine %y gain(dense<2.0> : tensor<1xf32>) offset(dense<1.0> : tensor<1xf32>) : tensor<1xf32>
  qexpert.yield %z : tensor<1xf32>
}
