// RUN: kimic-opt %s --expert-drop-dead-neurons | FileCheck %s

// Nothing reads neuron 1 of the second layer, and only it reads neuron 0 of the first.
// CHECK-LABEL: @chain
// CHECK: expert.linear %{{.*}} weights(dense<2.000000e+00> : tensor<1x1xf32>)
// CHECK: functions [elliot x 1] limit(dense<2.000000e+02> : tensor<1xf32>) : tensor<1xf32>
// CHECK: expert.linear %{{.*}} weights(dense<3.000000e+00> : tensor<1x1xf32>)
// CHECK: expert.linear %{{.*}} weights(dense<4.000000e+00> : tensor<1x1xf32>)
expert.define @chain(%x: tensor<1xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<[[1.0], [2.0]]> : tensor<2x1xf32>) bias(dense<0.0> : tensor<2xf32>)
         : tensor<1xf32> -> tensor<2xf32>
  %a = expert.activation %s functions [sigmoid x 1, elliot x 1] limit(dense<[100.0, 200.0]> : tensor<2xf32>)
         : tensor<2xf32>
  %t = expert.linear %a weights(dense<[[0.0, 3.0], [1.0, 1.0]]> : tensor<2x2xf32>) bias(dense<0.0> : tensor<2xf32>)
         : tensor<2xf32> -> tensor<2xf32>
  %b = expert.activation %t functions [linear x 2] : tensor<2xf32>
  %u = expert.linear %b weights(dense<[[4.0, 0.0]]> : tensor<1x2xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  %y = expert.activation %u functions [linear x 1] : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}

// A layer keeps one neuron, read or not; inputs and outputs always stay.
// CHECK-LABEL: @last
// CHECK: expert.linear %{{.*}} -> tensor<1xf32>
// CHECK: expert.linear %{{.*}} weights(dense<0.000000e+00> : tensor<1x1xf32>)
expert.define @last(%x: tensor<2xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<1.0> : tensor<2x2xf32>) bias(dense<0.0> : tensor<2xf32>)
         : tensor<2xf32> -> tensor<2xf32>
  %a = expert.activation %s functions [sigmoid x 2] : tensor<2xf32>
  %t = expert.linear %a weights(dense<0.0> : tensor<1x2xf32>) bias(dense<1.0> : tensor<1xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  %y = expert.activation %t functions [linear x 1] : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}

// In a shortcut network a layer that is removed in part moves what later layers read.
// CHECK-LABEL: @shortcut
// CHECK: expert.concat %{{.*}} : tensor<1xf32>, tensor<1xf32> -> tensor<2xf32>
// CHECK: expert.linear %{{.*}} weights(dense<{{\[}}[5.000000e+00, 7.000000e+00]]> : tensor<1x2xf32>)
expert.define @shortcut(%x: tensor<1xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<1.0> : tensor<2x1xf32>) bias(dense<0.0> : tensor<2xf32>)
         : tensor<1xf32> -> tensor<2xf32>
  %a = expert.activation %s functions [sigmoid x 2] : tensor<2xf32>
  %c = expert.concat %x, %a : tensor<1xf32>, tensor<2xf32> -> tensor<3xf32>
  %t = expert.linear %c weights(dense<[[5.0, 0.0, 7.0]]> : tensor<1x3xf32>) bias(dense<1.0> : tensor<1xf32>)
         : tensor<3xf32> -> tensor<1xf32>
  %y = expert.activation %t functions [linear x 1] : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}
