// Where values live: on the operand stack if they can, in shared locals if they must.
// RUN: kimic-translate --mlir-to-wasm %s -o %t.wasm
// RUN: wasm-validate %t.wasm
// RUN: wasm2wat %t.wasm | FileCheck %s

// CHECK: (import "env" "memory" (memory (;0;) 2))
wasm.module memory "env" "memory" min 2 {
  // CHECK-LABEL: (func (;0;)
  // CHECK-NEXT: local.get 0
  // CHECK-NEXT: i32.load
  // CHECK-NEXT: local.get 0
  // CHECK-NEXT: i32.load offset=4
  // CHECK-NEXT: i32.add)
  wasm.func @singleUsesStayOnTheStack(%p: i32) -> i32 attributes {exportName = "stack"} {
    %a = wasm.i32.load %p
    %b = wasm.i32.load %p offset 4
    %c = wasm.i32.add %a, %b
    wasm.return %c : i32
  }

  // CHECK-LABEL: (func (;1;)
  // CHECK-NEXT: local.get 0
  // CHECK-NEXT: i32.const 1000
  // CHECK-NEXT: i32.add
  // CHECK-NEXT: i32.const 1000
  // CHECK-NEXT: i32.add)
  wasm.func @constantsAreComputedAtEachUse(%p: i32) -> i32 {
    %c = wasm.i32.const 1000
    %a = wasm.i32.add %p, %c
    %b = wasm.i32.add %a, %c
    wasm.return %b : i32
  }

  // CHECK-LABEL: (func (;2;)
  // CHECK-NEXT: (local i32)
  // CHECK-NEXT: local.get 0
  // CHECK-NEXT: i32.load
  // CHECK-NEXT: local.set 1
  // CHECK-NEXT: local.get 0
  // CHECK-NEXT: i32.const 0
  // CHECK-NEXT: i32.store
  // CHECK-NEXT: local.get 1)
  wasm.func @loadsStayBeforeStores(%p: i32) -> i32 {
    %zero = wasm.i32.const 0
    %a = wasm.i32.load %p
    wasm.i32.store %p, %zero
    wasm.return %a : i32
  }

  // CHECK-LABEL: (func (;3;)
  // CHECK-NEXT: (local v128)
  // CHECK-NEXT: local.get 0
  // CHECK-NEXT: v128.load
  // CHECK-NEXT: local.tee 1
  // CHECK-NEXT: local.get 1
  // CHECK-NEXT: i32x4.add)
  wasm.func @firstUseTakesTheValueFromTheStack(%p: i32) -> !wasm.v128 {
    %v = wasm.v128.load %p
    %w = wasm.i32x4.add %v, %v
    wasm.return %w : !wasm.v128
  }

  // The sum and the pointer, before, in and behind the loop, are the parameter %p and one local.
  // CHECK-LABEL: (func (;4;)
  // CHECK-NEXT: (local i32)
  // CHECK-NEXT: i32.const 0
  // CHECK-NEXT: local.set 2
  // CHECK-NEXT: loop
  // CHECK-NEXT: local.get 2
  // CHECK-NEXT: local.get 0
  // CHECK-NEXT: i32.load
  // CHECK-NEXT: i32.add
  // CHECK-NEXT: local.set 2
  // CHECK-NEXT: local.get 0
  // CHECK-NEXT: i32.const 4
  // CHECK-NEXT: i32.add
  // CHECK-NEXT: local.tee 0
  // CHECK-NEXT: local.get 1
  // CHECK-NEXT: i32.ne
  // CHECK-NEXT: br_if 0
  // CHECK-NEXT: end
  // CHECK-NEXT: local.get 2)
  wasm.func @carriedValuesShareALocal(%p: i32, %end: i32) -> i32 {
    %zero = wasm.i32.const 0
    %four = wasm.i32.const 4
    %sum, %last = wasm.loop (%s = %zero, %at = %p) : i32, i32 {
      %v = wasm.i32.load %at
      %s1 = wasm.i32.add %s, %v
      %at1 = wasm.i32.add %at, %four
      %more = wasm.i32.ne %at1, %end
      wasm.continue %more, %s1, %at1 : i32, i32
    }
    wasm.return %sum : i32
  }

  // Both are pushed before either is set.
  // CHECK-LABEL: (func (;5;)
  // CHECK: loop
  // CHECK-NEXT: local.get 0
  // CHECK-NEXT: local.get 1
  // CHECK-NEXT: i32.lt_s
  // CHECK-NEXT: local.get 1
  // CHECK-NEXT: local.get 0
  // CHECK-NEXT: local.set 1
  // CHECK-NEXT: local.set 0
  // CHECK-NEXT: br_if 0
  wasm.func @carriedValuesMaySwap(%a: i32, %b: i32) -> i32 {
    %c, %d = wasm.loop (%x = %a, %y = %b) : i32, i32 {
      %more = wasm.i32.lt_s %x, %y
      wasm.continue %more, %y, %x : i32, i32
    }
    %e = wasm.i32.sub %c, %d
    wasm.return %e : i32
  }

  // %p is needed behind the loop: it may not be overwritten there.
  // CHECK-LABEL: (func (;6;)
  // CHECK-NEXT: (local i32)
  // CHECK-NEXT: local.get 0
  // CHECK-NEXT: local.set 2
  // CHECK-NEXT: loop
  // CHECK-NEXT: local.get 2
  // CHECK-NEXT: i32.const 4
  // CHECK-NEXT: i32.add
  // CHECK-NEXT: local.tee 2
  // CHECK-NEXT: local.get 1
  // CHECK-NEXT: i32.ne
  // CHECK-NEXT: br_if 0
  // CHECK-NEXT: end
  // CHECK-NEXT: local.get 0)
  wasm.func @liveInitialValuesAreCopied(%p: i32, %end: i32) -> i32 {
    %four = wasm.i32.const 4
    %last = wasm.loop (%at = %p) : i32 {
      %at1 = wasm.i32.add %at, %four
      %more = wasm.i32.ne %at1, %end
      wasm.continue %more, %at1 : i32
    }
    wasm.return %p : i32
  }

  // The guard is on the stack; what the loop yields is in the parameter either way.
  // CHECK-LABEL: (func (;7;)
  // CHECK-NEXT: local.get 1
  // CHECK-NEXT: if
  // CHECK-NEXT: loop
  // CHECK-NEXT: local.get 0
  // CHECK-NEXT: i32.const 4
  // CHECK-NEXT: i32.add
  // CHECK-NEXT: local.tee 0
  // CHECK-NEXT: local.get 1
  // CHECK-NEXT: i32.ne
  // CHECK-NEXT: br_if 0
  // CHECK-NEXT: end
  // CHECK-NEXT: end
  // CHECK-NEXT: local.get 0)
  wasm.func @guardedLoopsAreSkipped(%p: i32, %end: i32) -> i32 {
    %four = wasm.i32.const 4
    %last = wasm.loop if %end (%at = %p) : i32 {
      %at1 = wasm.i32.add %at, %four
      %more = wasm.i32.ne %at1, %end
      wasm.continue %more, %at1 : i32
    }
    wasm.return %last : i32
  }

  // The second vector takes the local of the first.
  // CHECK-LABEL: (func (;8;)
  // CHECK-NEXT: (local v128)
  wasm.func @localsAreReused(%p: i32) {
    %a = wasm.v128.load %p
    %b = wasm.i32x4.add %a, %a
    wasm.v128.store %p, %b
    %c = wasm.v128.load %p offset 16
    %d = wasm.i32x4.add %c, %c
    wasm.v128.store %p, %d offset 16
    wasm.return
  }

  // %b may be computed at its first use, behind the first get of %a, only if that leaves %a's tee before it.
  // CHECK-LABEL: (func (;9;)
  // CHECK-NEXT: (local i32)
  // CHECK-NEXT: local.get 0
  // CHECK-NEXT: i32.load
  // CHECK-NEXT: local.tee 0
  // CHECK-NEXT: i32.const 7
  // CHECK-NEXT: i32.add
  // CHECK-NEXT: local.set 1
  // CHECK-NEXT: local.get 0
  // CHECK-NEXT: local.get 1
  // CHECK-NEXT: i32.sub
  // CHECK-NEXT: local.get 1
  // CHECK-NEXT: i32.mul)
  wasm.func @teesComeFirst(%p: i32) -> i32 {
    %seven = wasm.i32.const 7
    %a = wasm.i32.load %p
    %b = wasm.i32.add %a, %seven
    %c = wasm.i32.sub %a, %b
    %d = wasm.i32.mul %c, %b
    wasm.return %d : i32
  }

  // CHECK-LABEL: (func (;10;)
  // CHECK-NOT: f32.add
  // CHECK: (export "stack" (func 0))
  wasm.func @valuesWithoutUseAreLeftOut(%f: f32) {
    %a = wasm.f32.add %f, %f
    wasm.return
  }
}
