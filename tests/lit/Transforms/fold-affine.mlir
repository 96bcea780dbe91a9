// RUN: kimic-opt %s --expert-fold-affine | FileCheck %s

// Scaling of inputs goes into every layer that reads them: w * (a x + b) = (w a) x + w b.
// CHECK-LABEL: @shortcut
// CHECK-NOT: expert.affine
// CHECK: expert.linear %{{.*}} weights(dense<{{\[}}[1.000000e+00, 4.000000e+00]]> : tensor<1x2xf32>) bias(dense<-7.000000e+00> : tensor<1xf32>)
// CHECK: expert.linear %{{.*}} weights(dense<{{\[}}[5.000000e-01, 2.000000e+00, 1.000000e+00]]> : tensor<1x3xf32>) bias(dense<-4.000000e+00> : tensor<1xf32>)
expert.define @shortcut(%x: tensor<2xf32>) -> tensor<1xf32> {
  %u = expert.affine %x scale(dense<[0.5, 2.0]> : tensor<2xf32>) offset(dense<[-1.0, -3.0]> : tensor<2xf32>) : tensor<2xf32>
  %s = expert.linear %u weights(dense<[[2.0, 2.0]]> : tensor<1x2xf32>) bias(dense<1.0> : tensor<1xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [sigmoid x 1] limit(dense<300.0> : tensor<1xf32>) : tensor<1xf32>
  %c = expert.concat %u, %a : tensor<2xf32>, tensor<1xf32> -> tensor<3xf32>
  %t = expert.linear %c weights(dense<1.0> : tensor<1x3xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<3xf32> -> tensor<1xf32>
  %y = expert.activation %t functions [sigmoid x 1] limit(dense<300.0> : tensor<1xf32>) : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}

// Linear outputs that nothing clamps take the scaling of the outputs.
// CHECK-LABEL: @linear_output
// CHECK: expert.linear %{{.*}} weights(dense<6.000000e+00> : tensor<1x1xf32>) bias(dense<8.000000e+00> : tensor<1xf32>)
// CHECK-NEXT: expert.activation
// CHECK-NEXT: expert.yield
expert.define @linear_output(%x: tensor<1xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<2.0> : tensor<1x1xf32>) bias(dense<1.0> : tensor<1xf32>)
         : tensor<1xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [linear x 1] : tensor<1xf32>
  %y = expert.affine %a scale(dense<3.0> : tensor<1xf32>) offset(dense<5.0> : tensor<1xf32>) : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}

// With FANN's clamp in between it stays.
// CHECK-LABEL: @clamped_output
// CHECK: limit
// CHECK-NEXT: expert.affine
expert.define @clamped_output(%x: tensor<1xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<2.0> : tensor<1x1xf32>) bias(dense<1.0> : tensor<1xf32>)
         : tensor<1xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [linear x 1] limit(dense<300.0> : tensor<1xf32>) : tensor<1xf32>
  %y = expert.affine %a scale(dense<3.0> : tensor<1xf32>) offset(dense<5.0> : tensor<1xf32>) : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}
