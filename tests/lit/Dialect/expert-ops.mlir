// RUN: kimic-opt %s | kimic-opt | FileCheck %s

// CHECK-LABEL: expert.define @layered(%{{.*}}: tensor<2xf32>) -> tensor<1xf32> {
expert.define @layered(%x: tensor<2xf32>) -> tensor<1xf32> {
  // CHECK: expert.affine %{{.*}} scale(dense<5.000000e-01> : tensor<2xf32>) offset(dense<-1.000000e+00> : tensor<2xf32>) : tensor<2xf32>
  %u = expert.affine %x scale(dense<0.5> : tensor<2xf32>) offset(dense<-1.0> : tensor<2xf32>) : tensor<2xf32>
  // CHECK: expert.linear %{{.*}} weights(dense<{{.*}}> : tensor<3x2xf32>) bias(dense<0.000000e+00> : tensor<3xf32>) : tensor<2xf32> -> tensor<3xf32>
  %s = expert.linear %u weights(dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>)
         bias(dense<0.0> : tensor<3xf32>) : tensor<2xf32> -> tensor<3xf32>
  // CHECK: expert.activation %{{.*}} functions [sigmoid_symmetric x 2, elliot x 1] steepness(dense<5.000000e-01> : tensor<3xf32>) clamp : tensor<3xf32>
  %a = expert.activation %s functions [sigmoid_symmetric x 2, elliot x 1] steepness(dense<0.5> : tensor<3xf32>) clamp
         : tensor<3xf32>
  // CHECK: expert.concat %{{.*}}, %{{.*}} : tensor<2xf32>, tensor<3xf32> -> tensor<5xf32>
  %c = expert.concat %u, %a : tensor<2xf32>, tensor<3xf32> -> tensor<5xf32>
  // CHECK: range(dense<{{.*}}> : tensor<1x2xf32>)
  %t = expert.linear %c weights(dense<1.0> : tensor<1x5xf32>) bias(dense<0.0> : tensor<1xf32>)
         range(dense<[[-1.0, 1.0]]> : tensor<1x2xf32>) : tensor<5xf32> -> tensor<1xf32>
  // CHECK: expert.activation %{{.*}} functions [linear x 1] limit(dense<3.000000e+02> : tensor<1xf32>) : tensor<1xf32>
  %y = expert.activation %t functions [linear x 1] limit(dense<300.0> : tensor<1xf32>) : tensor<1xf32>
  // CHECK: expert.yield %{{.*}} : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}

// CHECK-LABEL: expert.define @calibrated(%{{.*}}: tensor<1xf32>) -> tensor<1xf32> range(dense<{{.*}}> : tensor<1x2xf32>) {
expert.define @calibrated(%x: tensor<1xf32>) -> tensor<1xf32> range(dense<[[-1.0, 1.0]]> : tensor<1x2xf32>) {
  expert.yield %x : tensor<1xf32>
}

// CHECK-LABEL: expert.define @probabilities
expert.define @probabilities(%x: tensor<3xf32>) -> tensor<3xf32> {
  // CHECK: expert.softmax %{{.*}} scale 5.000000e-01 : tensor<3xf32>
  %p = expert.softmax %x scale 0.5 : tensor<3xf32>
  expert.yield %p : tensor<3xf32>
}

// CHECK-LABEL: expert.define @choice
expert.define @choice(%x: tensor<3xf32>) -> tensor<1xf32> {
  // CHECK: expert.argmax %{{.*}} : tensor<3xf32> -> tensor<1xf32>
  %i = expert.argmax %x : tensor<3xf32> -> tensor<1xf32>
  expert.yield %i : tensor<1xf32>
}
