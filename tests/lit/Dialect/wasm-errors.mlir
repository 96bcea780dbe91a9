// RUN: kimic-opt %s -split-input-file -verify-diagnostics

wasm.module memory "env" "memory" {
  wasm.func @f(%p: i32) {
    // expected-error@+1 {{'wasm.i32.load16_s' op has alignment exponent 2, expected 0 to 1}}
    %a = wasm.i32.load16_s %p align 2
    wasm.return
  }
}

// -----

wasm.module memory "env" "memory" {
  wasm.func @f(%p: i32) {
    // expected-error@+1 {{'wasm.i32.load' op attribute 'offset' failed to satisfy constraint}}
    %a = wasm.i32.load %p offset 4294967296
    wasm.return
  }
}

// -----

wasm.module memory "env" "memory" {
  wasm.func @f(%p: i32, %v: !wasm.v128) {
    // expected-error@+1 {{'wasm.v128.store64_lane' op attribute 'lane' failed to satisfy constraint}}
    wasm.v128.store64_lane %p, %v[2]
    wasm.return
  }
}

// -----

wasm.module memory "env" "memory" {
  wasm.func @f(%v: !wasm.v128) -> i32 {
    // expected-error@+1 {{'wasm.i32x4.extract_lane' op attribute 'lane' failed to satisfy constraint}}
    %a = wasm.i32x4.extract_lane %v[4]
    wasm.return %a : i32
  }
}

// -----

wasm.module memory "env" "memory" {
  wasm.func @f(%v: !wasm.v128) {
    // expected-error@+1 {{'wasm.i8x16.shuffle' op has 3 lanes, expected 16}}
    %a = wasm.i8x16.shuffle %v, %v [0, 1, 2]
    wasm.return
  }
}

// -----

wasm.module memory "env" "memory" {
  wasm.func @f(%v: !wasm.v128) {
    // expected-error@+1 {{'wasm.i8x16.shuffle' op has the lane 32, expected 0 to 31}}
    %a = wasm.i8x16.shuffle %v, %v [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 32]
    wasm.return
  }
}

// -----

wasm.module memory "env" "memory" {
  // expected-note@+1 {{prior use here}}
  wasm.func @f(%p: i32) {
    // expected-error@+1 {{use of value '%p' expects different type than prior uses: '!wasm.v128' vs 'i32'}}
    %a = wasm.i32x4.add %p, %p
    wasm.return
  }
}

// -----

wasm.module memory "env" "memory" {
  wasm.func @f(%p: i32) {
    // expected-error@+1 {{'wasm.loop' op carries ('i32'), but its body hands on ('i32', 'i32')}}
    %a = wasm.loop (%i = %p) : i32 {
      wasm.continue %i, %i, %i : i32, i32
    }
    wasm.return
  }
}

// -----

wasm.module memory "env" "memory" {
  wasm.func @f(%p: i32) {
    // expected-error@+1 {{'wasm.loop' op carries ('i32'), but its results are ()}}
    "wasm.loop"(%p) <{operandSegmentSizes = array<i32: 0, 1>}> ({
    ^bb0(%i: i32):
      "wasm.continue"(%i, %i) : (i32, i32) -> ()
    }) : (i32) -> ()
    wasm.return
  }
}

// -----

wasm.module memory "env" "memory" {
  wasm.func @f(%p: i32) {
    // expected-error@+1 {{'wasm.loop' op carries ('i32'), but its body takes ('f32')}}
    %a = "wasm.loop"(%p) <{operandSegmentSizes = array<i32: 0, 1>}> ({
    ^bb0(%i: f32):
      "wasm.continue"(%p, %p) : (i32, i32) -> ()
    }) : (i32) -> i32
    wasm.return
  }
}

// -----

wasm.module memory "env" "memory" {
  wasm.func @f() -> i32 {
    // expected-error@+1 {{'wasm.return' op has operands (), but the function returns ('i32')}}
    wasm.return
  }
}

// -----

wasm.module memory "env" "memory" {
  // expected-error@+1 {{'wasm.func' op has the type 'i64' in its signature, expected i32, f32 or v128}}
  wasm.func @f(%p: i64) {
    wasm.return
  }
}

// -----

wasm.module memory "env" "memory" {
  wasm.func @f(%p: i32) {
    // expected-error@+1 {{block with no terminator}}
    %a = wasm.i32.const 1
  }
}

// -----

wasm.module memory "env" "memory" {
  wasm.func @f() attributes {exportName = "k0"} {
    wasm.return
  }
  // expected-error@+1 {{'wasm.func' op has the export name 'k0', which is taken already}}
  wasm.func @g() attributes {exportName = "k0"} {
    wasm.return
  }
}

// -----

// expected-error@+1 {{'wasm.module' op attribute 'memoryMin' failed to satisfy constraint}}
wasm.module memory "env" "memory" min 65537 {
}

// -----

wasm.module memory "env" "memory" {
  // expected-error@+1 {{'wasm.i32.const' op may not stand in a 'wasm.module', expected 'wasm.func' or 'wasm.custom'}}
  %a = wasm.i32.const 1
}
