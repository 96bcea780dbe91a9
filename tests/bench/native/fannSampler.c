// libfann for the benchmarks: as a WebAssembly module (fann_bench_*), and with main() as a process that is asked for
// one sample after the other: `NETWORK ROWS CALLS` on stdin, nanoseconds per call on stdout, until stdin ends. The
// network is read from NETWORK.net, its rows from NETWORK.x.f32, and the outputs go to OUTPUTS/NETWORK.ROWS when ROWS
// is new.
#include <stdlib.h>
#include <string.h>
#ifdef __EMSCRIPTEN__
#include <emscripten/emscripten.h>

#include "floatfann.h"

/// A layered network with tanh everywhere. `weights`: W [outputs][inputs] and b [outputs] of every layer.
EMSCRIPTEN_KEEPALIVE struct fann *fann_bench_create(const unsigned *sizes, unsigned layers, const float *weights) {
  struct fann *net = fann_create_standard_array(layers, sizes);
  fann_set_activation_function_hidden(net, FANN_SIGMOID_SYMMETRIC);
  fann_set_activation_function_output(net, FANN_SIGMOID_SYMMETRIC);
  fann_set_activation_steepness_hidden(net, 1);
  fann_set_activation_steepness_output(net, 1);
  float *to = net->weights;
  for (unsigned l = 0; l + 1 < layers; ++l) {
    unsigned inputs = sizes[l], outputs = sizes[l + 1];
    for (unsigned n = 0; n < outputs; ++n, to += inputs + 1) {
      memcpy(to, weights + n * inputs, inputs * sizeof(float));
      to[inputs] = weights[outputs * inputs + n];
    }
    weights += outputs * (inputs + 1);
  }
  return net;
}

EMSCRIPTEN_KEEPALIVE void fann_bench_run(struct fann *net, float *x, float *y, unsigned rows) {
  unsigned inputs = fann_get_num_input(net), outputs = fann_get_num_output(net);
  for (unsigned r = 0; r < rows; ++r)
    memcpy(y + r * outputs, fann_run(net, x + r * inputs), outputs * sizeof(float));
}

EMSCRIPTEN_KEEPALIVE void *fann_bench_allocate(unsigned bytes) { return malloc(bytes); }
#else
#include <floatfann.h>
#include <stdio.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 3)
    return 2;
  struct fann *net = NULL;
  float x[64 * 256], y[64 * 256];
  char name[64] = "", wanted[64], path[4096];
  unsigned rows, calls, lastRows = 0;
  while (scanf("%63s %u %u", wanted, &rows, &calls) == 3) {
    if (strcmp(wanted, name)) {
      if (net)
        fann_destroy(net);
      strcpy(name, wanted);
      snprintf(path, sizeof path, "%s/%s.net", argv[1], name);
      net = fann_create_from_file(path);
      snprintf(path, sizeof path, "%s/%s.x.f32", argv[1], name);
      FILE *file = fopen(path, "rb");
      if (!net || !file || !fread(x, sizeof *x, 64 * fann_get_num_input(net), file))
        return 1;
      fclose(file);
      lastRows = 0;
    }
    unsigned inputs = fann_get_num_input(net), outputs = fann_get_num_output(net);
    double begin = now();
    for (unsigned c = 0; c < calls; ++c)
      for (unsigned r = 0; r < rows; ++r)
        memcpy(y + r * outputs, fann_run(net, x + r * inputs), outputs * sizeof *y);
    double ns = (now() - begin) / calls;
    if (rows != lastRows) {
      snprintf(path, sizeof path, "%s/libfann.%s.%u", argv[2], name, rows);
      FILE *file = fopen(path, "wb");
      if (!file)
        return 1;
      fwrite(y, sizeof *y, rows * outputs, file);
      fclose(file);
      lastRows = rows;
    }
    printf("%.3f\n", ns); // when the outputs can be read
    fflush(stdout);
  }
  return 0;
}
#endif
