// Each phase's contract holds after its passes.
// RUN: kimic-opt %s --kimic-verify-phase=phase=import \
// RUN:   --expert-fold-steepness --expert-fold-affine --expert-fold-constants --expert-drop-dead-neurons \
// RUN:   --expert-group-activations --kimic-verify-phase=phase=normalize \
// RUN:   --expert-calibrate --kimic-verify-phase=phase=calibrate \
// RUN:   --convert-expert-to-qexpert --kimic-verify-phase=phase=quantize \
// RUN:   --qexpert-pack-weights --kimic-verify-phase=phase=pack \
// RUN:   --qexpert-outline-kernels --kimic-verify-phase=phase=outline | FileCheck %s

// CHECK: qexpert.kernel @[[KERNEL:.*]] signature(<2 -> [0: sigmoid x 1, elliot x 1] -> [0: linear x 1], affine>)
// CHECK: qexpert.expert @shortcut kernel(@[[KERNEL]])
expert.define @shortcut(%x: tensor<2xf32>) -> tensor<1xf32> {
  %u = expert.affine %x scale(dense<0.5> : tensor<2xf32>) offset(dense<-1.0> : tensor<2xf32>) : tensor<2xf32>
  %s = expert.linear %u weights(dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>)
         bias(dense<0.0> : tensor<3xf32>) : tensor<2xf32> -> tensor<3xf32>
  %a = expert.activation %s functions [elliot x 1, gaussian_stepwise x 1, sigmoid x 1]
         steepness(dense<0.5> : tensor<3xf32>) clamp : tensor<3xf32>
  %c = expert.concat %u, %a : tensor<2xf32>, tensor<3xf32> -> tensor<5xf32>
  %t = expert.linear %c weights(dense<1.0> : tensor<1x5xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<5xf32> -> tensor<1xf32>
  %y = expert.activation %t functions [linear x 1] steepness(dense<0.5> : tensor<1xf32>) clamp : tensor<1xf32>
  %z = expert.affine %y scale(dense<2.0> : tensor<1xf32>) offset(dense<1.0> : tensor<1xf32>) : tensor<1xf32>
  expert.yield %z : tensor<1xf32>
}
