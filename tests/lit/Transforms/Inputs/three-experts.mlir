qexpert.define @a(%x: tensor<1xf32>) -> tensor<1xf32> {
  %c = qexpert.quantize %x scale(dense<8191.0> : tensor<1xf32>) bounds [-32768.0, 32767.0] : tensor<1xf32> -> tensor<1xi16>
  %s = qexpert.linear %c weights(dense<1> : tensor<1x1xi8>) bias(dense<0> : tensor<1xi32>) : tensor<1xi16> -> tensor<1xi32>
  %y = qexpert.activation %s groups [linear x 1] multiplier(dense<1.0> : tensor<1xf32>) : tensor<1xi32> -> tensor<1xf32>
  qexpert.yield %y : tensor<1xf32>
}
qexpert.define @b(%x: tensor<1xf32>) -> tensor<1xf32> {
  %c = qexpert.quantize %x scale(dense<8191.0> : tensor<1xf32>) bounds [-32768.0, 32767.0] : tensor<1xf32> -> tensor<1xi16>
  %s = qexpert.linear %c weights(dense<2> : tensor<1x1xi8>) bias(dense<0> : tensor<1xi32>) : tensor<1xi16> -> tensor<1xi32>
  %y = qexpert.activation %s groups [sigmoid x 1] multiplier(dense<1.0> : tensor<1xf32>) : tensor<1xi32> -> tensor<1xf32>
  qexpert.yield %y : tensor<1xf32>
}
qexpert.define @c(%x: tensor<1xf32>) -> tensor<1xf32> {
  %c = qexpert.quantize %x scale(dense<8191.0> : tensor<1xf32>) bounds [-32768.0, 32767.0] : tensor<1xf32> -> tensor<1xi16>
  %s = qexpert.linear %c weights(dense<3> : tensor<1x1xi8>) bias(dense<0> : tensor<1xi32>) : tensor<1xi16> -> tensor<1xi32>
  %y = qexpert.activation %s groups [linear x 1] multiplier(dense<1.0> : tensor<1xf32>) : tensor<1xi32> -> tensor<1xf32>
  qexpert.yield %y : tensor<1xf32>
}
