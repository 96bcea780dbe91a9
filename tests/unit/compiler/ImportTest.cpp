// What the importer and the passes keep: the layers of a network compute what fann::evaluate computes.
#include "compiler/Import/FannImport.h"

#include "compiler/Dialect/Expert/Layers.h"
#include "compiler/Transforms/Evaluate.h"
#include "compiler/Transforms/Passes.h"
#include "formats/fann/Evaluator.h"
#include "tests/unit/compiler/TestNetworks.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"

#include <gmock/gmock.h>

using namespace kimic;
using namespace kimic::test;
using ::testing::ElementsAre;

namespace {

class ImportTest : public ::testing::Test {
protected:
  mlir::MLIRContext context{mlir::MLIRContext::Threading::DISABLED};
  mlir::OwningOpRef<mlir::ModuleOp> module;

  void SetUp() override {
    context.loadDialect<expert::ExpertDialect>();
    module = mlir::ModuleOp::create(mlir::UnknownLoc::get(&context));
  }

  expert::Layers import(const fann::Network &network) {
    auto define = importFann(*module, "e", network);
    EXPECT_TRUE(mlir::succeeded(define));
    EXPECT_TRUE(mlir::succeeded(module->verify()));
    return *expert::layersOf(*define);
  }

  expert::Layers normalize() {
    mlir::PassManager manager(&context, "builtin.module");
    manager.addPass(createFoldSteepness());
    manager.addPass(createFoldAffine());
    manager.addPass(createFoldConstants());
    manager.addPass(createDropDeadNeurons());
    manager.addPass(createGroupActivations());
    manager.addPass(createVerifyPhase({"normalize"}));
    EXPECT_TRUE(mlir::succeeded(manager.run(*module)));
    return *expert::layersOf(*module->getOps<expert::DefineOp>().begin());
  }

  /// Largest difference between the layers and the network's own library, on random rows.
  static double difference(const expert::Layers &layers, const fann::Network &network) {
    Matrix inputs = randomRows(50, network.numInputs, 3);
    Matrix expected = fann::evaluate(network, inputs, {true});
    double largest = 0;
    std::vector<double> values, sums;
    for (std::size_t r = 0; r < inputs.rows; ++r) {
      expert::evaluate(layers, inputs.row(r), values, sums);
      for (std::size_t n = 0; n < network.numOutputs; ++n) {
        double y = values[values.size() - network.numOutputs + n];
        if (layers.outputAffine)
          y = y * layers.outputAffine->scale[n] + layers.outputAffine->offset[n];
        largest = std::max(largest, std::fabs(y - expected.row(r)[n]));
      }
    }
    return largest;
  }
};

TEST_F(ImportTest, LayeredNetworkReadsOneLayerBack) {
  expert::Layers layers = import(makeNetwork({.sizes = {2, 3, 4, 1}}, 1));
  ASSERT_EQ(layers.layers.size(), 3u);
  EXPECT_EQ(layers.layers[0].readBegin, 0u);
  EXPECT_EQ(layers.layers[1].readBegin, 2u);
  EXPECT_EQ(layers.layers[2].readBegin, 5u);
}

TEST_F(ImportTest, ShortcutNetworkReadsEverything) {
  expert::Layers layers = import(makeNetwork({.type = fann::NetworkType::Shortcut, .sizes = {2, 3, 1}}, 1));
  EXPECT_EQ(layers.layers[1].readBegin, 0u);
  EXPECT_EQ(layers.layers[1].fanIn(), 5u);
}

TEST_F(ImportTest, BiasNeuronBecomesBias) {
  fann::Network network = makeNetwork({.sizes = {2, 1}}, 1);
  expert::Layers layers = import(network);
  EXPECT_THAT(layers.layers[0].weights, ElementsAre(network.connections[0].weight, network.connections[1].weight));
  EXPECT_THAT(layers.layers[0].bias, ElementsAre(network.connections[2].weight));
}

TEST_F(ImportTest, MissingConnectionIsZeroWeight) {
  fann::Network network = makeNetwork({.sizes = {3, 1}}, 1);
  network.connections = {{2, 0.25f, 0}};
  network.neurons[4].connectionCount = 1;
  EXPECT_THAT(import(network).layers[0].weights, ElementsAre(0, 0, 0.25f));
}

TEST_F(ImportTest, ConnectionsFromOneSourceAreSummed) {
  fann::Network network = makeNetwork({.sizes = {1, 1}}, 1);
  network.connections = {{0, 0.25f, 0}, {0, 0.5f, 0}};
  EXPECT_THAT(import(network).layers[0].weights, ElementsAre(0.75f));
}

TEST_F(ImportTest, OutputWithoutConnectionsIsOne) {
  fann::Network network = makeNetwork({.sizes = {1, 2}}, 1);
  network.neurons[3].kind = fann::NeuronKind::Constant;
  network.neurons[3].connectionCount = 0;
  expert::Layers layers = import(network);
  EXPECT_EQ(layers.layers[0].bias[1], 1.0f);
  EXPECT_EQ(layers.layers[0].functions()[1], Activation::Linear);
}

TEST_F(ImportTest, SumOfWeightsThatOverflowsIsRefused) {
  fann::Network network = makeNetwork({.sizes = {1, 1}}, 1);
  network.connections = {{0, 3e38f, 0}, {0, 3e38f, 0}};
  std::string error;
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &d) {
    error = d.str();
    return mlir::success();
  });
  EXPECT_TRUE(mlir::failed(importFann(*module, "e", network)));
  EXPECT_THAT(error, ::testing::HasSubstr("neuron 2 has several connections from one source"));
}

TEST_F(ImportTest, LayersComputeWhatTheNetworkComputes) {
  fann::Network network = makeNetwork({.sizes = {5, 7, 3}, .functions = {Activation::Elliot, Activation::Gaussian}}, 2);
  EXPECT_LT(difference(import(network), network), 1e-5);
}

TEST_F(ImportTest, NormalizedLayersComputeWhatTheNetworkComputes) {
  std::vector<Activation> functions;
  for (unsigned i = 0; i < kActivationCount; ++i)
    functions.push_back(static_cast<Activation>(i));
  fann::Network network = makeNetwork(
      {.type = fann::NetworkType::Shortcut, .sizes = {4, 20, 20, 3}, .functions = functions, .gain = 0.5f}, 3);
  import(network);
  EXPECT_LT(difference(normalize(), network), 1e-4);
}

TEST_F(ImportTest, ScalingIsFoldedIntoWhatTheNetworkComputes) {
  fann::Network network = makeNetwork({.sizes = {2, 3, 1}, .output = Activation::Linear}, 4);
  network.scalingIn = fann::Scaling{{0.25f, -0.5f}, {0.5f, 0}, {-1, -1}, {1, 1}};
  network.scalingOut = fann::Scaling{{10}, {4}, {-1}, {1}};
  import(network);
  expert::Layers layers = normalize();
  EXPECT_FALSE(layers.inputAffine);
  EXPECT_TRUE(layers.outputAffine); // FANN clamps its linear outputs
  EXPECT_LT(difference(layers, network), 1e-4);
}

TEST_F(ImportTest, NormalizedHiddenLayerHasOneRunPerFunction) {
  import(makeNetwork({.sizes = {2, 6, 1}, .functions = {Activation::Elliot, Activation::Sigmoid}}, 5));
  expert::Layers layers = normalize();
  ASSERT_EQ(layers.layers[0].runs.size(), 2u);
  EXPECT_EQ(layers.layers[0].runs[0], (expert::Run{Activation::Sigmoid, 3}));
  EXPECT_EQ(layers.layers[0].runs[1], (expert::Run{Activation::Elliot, 3}));
}

} // namespace
