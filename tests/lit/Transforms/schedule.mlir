// RUN: kimic-opt %s --qexpert-schedule | FileCheck %s

// Where few pairs of inputs are active and there are many outputs, sums skip the others.
// CHECK: qexpert.expert @words signature(<256 -> [0: linear x 32], sparse>) parameters(dense<0> : tensor<9488xi8>){{$}}
qexpert.expert @words signature(<256 -> [0: linear x 32]>) parameters(dense<0> : tensor<9488xi8>) {activity = 0.1 : f32}

// Most are active.
// CHECK: qexpert.expert @dense signature(<256 -> [0: linear x 32]>) parameters(dense<0> : tensor<9488xi8>){{$}}
qexpert.expert @dense signature(<256 -> [0: linear x 32]>) parameters(dense<0> : tensor<9488xi8>) {activity = 0.75 : f32}

// Too small for a kernel of its own.
// CHECK: qexpert.expert @small signature(<8 -> [0: linear x 8]>) parameters(dense<0> : tensor<176xi8>){{$}}
qexpert.expert @small signature(<8 -> [0: linear x 8]>) parameters(dense<0> : tensor<176xi8>) {activity = 0.1 : f32}

// Nothing is known.
// CHECK: qexpert.expert @unknown signature(<256 -> [0: linear x 32]>) parameters(dense<0> : tensor<9488xi8>){{$}}
qexpert.expert @unknown signature(<256 -> [0: linear x 32]>) parameters(dense<0> : tensor<9488xi8>)
