// RUN: kimic-opt %s | kimic-opt | FileCheck %s

// CHECK: wasm.module memory "env" "memory" min 2 {
wasm.module memory "env" "memory" min 2 {
  // CHECK: wasm.func @loop(%[[P:.*]]: i32, %[[END:.*]]: i32) -> i32 attributes {exportName = "k0"} {
  wasm.func @loop(%p: i32, %end: i32) -> i32 attributes {exportName = "k0"} {
    %four = wasm.i32.const 4
    // CHECK: %{{.*}}:2 = wasm.loop (%[[SUM:.*]] = %{{.*}}, %[[AT:.*]] = %[[P]]) : i32, i32 {
    %sum, %last = wasm.loop (%s = %four, %at = %p) : i32, i32 {
      %s1 = wasm.i32.add %s, %at
      %at1 = wasm.i32.add %at, %four
      %more = wasm.i32.ne %at1, %end
      // CHECK: wasm.continue %{{.*}}, %{{.*}}, %{{.*}} : i32, i32
      wasm.continue %more, %s1, %at1 : i32, i32
    }
    // CHECK: %{{.*}} = wasm.loop if %{{.*}}#0 (%[[LEFT:.*]] = %[[END]]) : i32 {
    %left = wasm.loop if %sum (%n = %end) : i32 {
      %n1 = wasm.i32.sub %n, %four
      wasm.continue %n1, %n1 : i32
    }
    // CHECK: wasm.loop if %{{.*}} {
    wasm.loop if %left {
      wasm.continue %four
    }
    // CHECK: wasm.loop {
    wasm.loop {
      %zero = wasm.i32.const 0
      // CHECK: wasm.continue %{{[^,]*}}{{$}}
      wasm.continue %zero
    }
    // CHECK: wasm.return %{{.*}} : i32
    wasm.return %sum : i32
  }

  // CHECK: wasm.func @instructions
  wasm.func @instructions(%i: i32, %f: f32, %v: !wasm.v128) {
    // CHECK: wasm.select %{{.*}}, %{{.*}}, %{{.*}} : f32
    %0 = wasm.select %f, %f, %i : f32
    // CHECK: wasm.i32.load %{{.*}} offset 300 align 0
    %1 = wasm.i32.load %i offset 300 align 0
    // CHECK: wasm.f32.load %{{.*}} offset 300 align 0
    %2 = wasm.f32.load %i offset 300 align 0
    // CHECK: wasm.i32.load8_s %{{.*}} offset 300 align 0
    %3 = wasm.i32.load8_s %i offset 300 align 0
    // CHECK: wasm.i32.load8_u %{{.*}} offset 300 align 0
    %4 = wasm.i32.load8_u %i offset 300 align 0
    // CHECK: wasm.i32.load16_s %{{.*}} offset 300 align 0
    %5 = wasm.i32.load16_s %i offset 300 align 0
    // CHECK: wasm.i32.load16_u %{{.*}} offset 300 align 0
    %6 = wasm.i32.load16_u %i offset 300 align 0
    // CHECK: wasm.i32.store %{{.*}}, %{{.*}} offset 300 align 0
    wasm.i32.store %i, %i offset 300 align 0
    // CHECK: wasm.f32.store %{{.*}}, %{{.*}} offset 300 align 0
    wasm.f32.store %i, %f offset 300 align 0
    // CHECK: wasm.i32.store8 %{{.*}}, %{{.*}} offset 300 align 0
    wasm.i32.store8 %i, %i offset 300 align 0
    // CHECK: wasm.i32.store16 %{{.*}}, %{{.*}} offset 300 align 0
    wasm.i32.store16 %i, %i offset 300 align 0
    // CHECK: wasm.i32.const -70
    %11 = wasm.i32.const -70
    // CHECK: wasm.f32.const 5.000000e-01
    %12 = wasm.f32.const 5.000000e-01
    // CHECK: wasm.i32.eqz %{{.*}}
    %13 = wasm.i32.eqz %i
    // CHECK: wasm.i32.eq %{{.*}}, %{{.*}}
    %14 = wasm.i32.eq %i, %i
    // CHECK: wasm.i32.ne %{{.*}}, %{{.*}}
    %15 = wasm.i32.ne %i, %i
    // CHECK: wasm.i32.lt_s %{{.*}}, %{{.*}}
    %16 = wasm.i32.lt_s %i, %i
    // CHECK: wasm.i32.lt_u %{{.*}}, %{{.*}}
    %17 = wasm.i32.lt_u %i, %i
    // CHECK: wasm.i32.gt_s %{{.*}}, %{{.*}}
    %18 = wasm.i32.gt_s %i, %i
    // CHECK: wasm.i32.gt_u %{{.*}}, %{{.*}}
    %19 = wasm.i32.gt_u %i, %i
    // CHECK: wasm.i32.le_s %{{.*}}, %{{.*}}
    %20 = wasm.i32.le_s %i, %i
    // CHECK: wasm.i32.ge_s %{{.*}}, %{{.*}}
    %21 = wasm.i32.ge_s %i, %i
    // CHECK: wasm.f32.eq %{{.*}}, %{{.*}}
    %22 = wasm.f32.eq %f, %f
    // CHECK: wasm.f32.ne %{{.*}}, %{{.*}}
    %23 = wasm.f32.ne %f, %f
    // CHECK: wasm.f32.lt %{{.*}}, %{{.*}}
    %24 = wasm.f32.lt %f, %f
    // CHECK: wasm.f32.gt %{{.*}}, %{{.*}}
    %25 = wasm.f32.gt %f, %f
    // CHECK: wasm.f32.le %{{.*}}, %{{.*}}
    %26 = wasm.f32.le %f, %f
    // CHECK: wasm.f32.ge %{{.*}}, %{{.*}}
    %27 = wasm.f32.ge %f, %f
    // CHECK: wasm.i32.add %{{.*}}, %{{.*}}
    %28 = wasm.i32.add %i, %i
    // CHECK: wasm.i32.sub %{{.*}}, %{{.*}}
    %29 = wasm.i32.sub %i, %i
    // CHECK: wasm.i32.mul %{{.*}}, %{{.*}}
    %30 = wasm.i32.mul %i, %i
    // CHECK: wasm.i32.and %{{.*}}, %{{.*}}
    %31 = wasm.i32.and %i, %i
    // CHECK: wasm.i32.or %{{.*}}, %{{.*}}
    %32 = wasm.i32.or %i, %i
    // CHECK: wasm.i32.xor %{{.*}}, %{{.*}}
    %33 = wasm.i32.xor %i, %i
    // CHECK: wasm.i32.shl %{{.*}}, %{{.*}}
    %34 = wasm.i32.shl %i, %i
    // CHECK: wasm.i32.shr_s %{{.*}}, %{{.*}}
    %35 = wasm.i32.shr_s %i, %i
    // CHECK: wasm.i32.shr_u %{{.*}}, %{{.*}}
    %36 = wasm.i32.shr_u %i, %i
    // CHECK: wasm.f32.abs %{{.*}}
    %37 = wasm.f32.abs %f
    // CHECK: wasm.f32.neg %{{.*}}
    %38 = wasm.f32.neg %f
    // CHECK: wasm.f32.add %{{.*}}, %{{.*}}
    %39 = wasm.f32.add %f, %f
    // CHECK: wasm.f32.sub %{{.*}}, %{{.*}}
    %40 = wasm.f32.sub %f, %f
    // CHECK: wasm.f32.mul %{{.*}}, %{{.*}}
    %41 = wasm.f32.mul %f, %f
    // CHECK: wasm.f32.div %{{.*}}, %{{.*}}
    %42 = wasm.f32.div %f, %f
    // CHECK: wasm.f32.convert_i32_s %{{.*}}
    %43 = wasm.f32.convert_i32_s %i
    // CHECK: wasm.i32.reinterpret_f32 %{{.*}}
    %44 = wasm.i32.reinterpret_f32 %f
    // CHECK: wasm.f32.reinterpret_i32 %{{.*}}
    %45 = wasm.f32.reinterpret_i32 %i
    // CHECK: wasm.v128.load %{{.*}} offset 300 align 0
    %46 = wasm.v128.load %i offset 300 align 0
    // CHECK: wasm.v128.load8x8_s %{{.*}} offset 300 align 0
    %widened = wasm.v128.load8x8_s %i offset 300 align 0
    // CHECK: wasm.v128.load32_splat %{{.*}} offset 300 align 0
    %47 = wasm.v128.load32_splat %i offset 300 align 0
    // CHECK: wasm.v128.store %{{.*}}, %{{.*}} offset 300 align 0
    wasm.v128.store %i, %v offset 300 align 0
    // CHECK: wasm.i8x16.shuffle %{{.*}}, %{{.*}} [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    %49 = wasm.i8x16.shuffle %v, %v [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    // CHECK: wasm.i16x8.splat %{{.*}}
    %50 = wasm.i16x8.splat %i
    // CHECK: wasm.i32x4.splat %{{.*}}
    %51 = wasm.i32x4.splat %i
    // CHECK: wasm.f32x4.splat %{{.*}}
    %52 = wasm.f32x4.splat %f
    // CHECK: wasm.i32x4.extract_lane %{{.*}}[1]
    %53 = wasm.i32x4.extract_lane %v[1]
    // CHECK: wasm.f32x4.extract_lane %{{.*}}[1]
    %54 = wasm.f32x4.extract_lane %v[1]
    // CHECK: wasm.i32x4.eq %{{.*}}, %{{.*}}
    %55 = wasm.i32x4.eq %v, %v
    // CHECK: wasm.i32x4.lt_s %{{.*}}, %{{.*}}
    %56 = wasm.i32x4.lt_s %v, %v
    // CHECK: wasm.i32x4.gt_s %{{.*}}, %{{.*}}
    %57 = wasm.i32x4.gt_s %v, %v
    // CHECK: wasm.f32x4.eq %{{.*}}, %{{.*}}
    %58 = wasm.f32x4.eq %v, %v
    // CHECK: wasm.f32x4.ne %{{.*}}, %{{.*}}
    %59 = wasm.f32x4.ne %v, %v
    // CHECK: wasm.f32x4.lt %{{.*}}, %{{.*}}
    %60 = wasm.f32x4.lt %v, %v
    // CHECK: wasm.f32x4.gt %{{.*}}, %{{.*}}
    %61 = wasm.f32x4.gt %v, %v
    // CHECK: wasm.f32x4.le %{{.*}}, %{{.*}}
    %62 = wasm.f32x4.le %v, %v
    // CHECK: wasm.f32x4.ge %{{.*}}, %{{.*}}
    %63 = wasm.f32x4.ge %v, %v
    // CHECK: wasm.v128.not %{{.*}}
    %64 = wasm.v128.not %v
    // CHECK: wasm.v128.and %{{.*}}, %{{.*}}
    %65 = wasm.v128.and %v, %v
    // CHECK: wasm.v128.andnot %{{.*}}, %{{.*}}
    %66 = wasm.v128.andnot %v, %v
    // CHECK: wasm.v128.or %{{.*}}, %{{.*}}
    %67 = wasm.v128.or %v, %v
    // CHECK: wasm.v128.xor %{{.*}}, %{{.*}}
    %68 = wasm.v128.xor %v, %v
    // CHECK: wasm.v128.bitselect %{{.*}}, %{{.*}}, %{{.*}}
    %69 = wasm.v128.bitselect %v, %v, %v
    // CHECK: wasm.v128.load32_lane %{{.*}}, %{{.*}}[1] offset 300 align 0
    %70 = wasm.v128.load32_lane %i, %v[1] offset 300 align 0
    // CHECK: wasm.v128.store16_lane %{{.*}}, %{{.*}}[1] offset 300 align 0
    wasm.v128.store16_lane %i, %v[1] offset 300 align 0
    // CHECK: wasm.v128.store32_lane %{{.*}}, %{{.*}}[1] offset 300 align 0
    wasm.v128.store32_lane %i, %v[1] offset 300 align 0
    // CHECK: wasm.v128.store64_lane %{{.*}}, %{{.*}}[1] offset 300 align 0
    wasm.v128.store64_lane %i, %v[1] offset 300 align 0
    // CHECK: wasm.v128.load32_zero %{{.*}} offset 300 align 0
    %74 = wasm.v128.load32_zero %i offset 300 align 0
    // CHECK: wasm.v128.load64_zero %{{.*}} offset 300 align 0
    %75 = wasm.v128.load64_zero %i offset 300 align 0
    // CHECK: wasm.i16x8.narrow_i32x4_s %{{.*}}, %{{.*}}
    %76 = wasm.i16x8.narrow_i32x4_s %v, %v
    // CHECK: wasm.i16x8.shl %{{.*}}, %{{.*}}
    %77 = wasm.i16x8.shl %v, %i
    // CHECK: wasm.i16x8.shr_s %{{.*}}, %{{.*}}
    %78 = wasm.i16x8.shr_s %v, %i
    // CHECK: wasm.i16x8.add %{{.*}}, %{{.*}}
    %79 = wasm.i16x8.add %v, %v
    // CHECK: wasm.i32x4.shl %{{.*}}, %{{.*}}
    %80 = wasm.i32x4.shl %v, %i
    // CHECK: wasm.i32x4.shr_s %{{.*}}, %{{.*}}
    %81 = wasm.i32x4.shr_s %v, %i
    // CHECK: wasm.i32x4.shr_u %{{.*}}, %{{.*}}
    %82 = wasm.i32x4.shr_u %v, %i
    // CHECK: wasm.i32x4.add %{{.*}}, %{{.*}}
    %83 = wasm.i32x4.add %v, %v
    // CHECK: wasm.i32x4.sub %{{.*}}, %{{.*}}
    %84 = wasm.i32x4.sub %v, %v
    // CHECK: wasm.i32x4.dot_i16x8_s %{{.*}}, %{{.*}}
    %85 = wasm.i32x4.dot_i16x8_s %v, %v
    // CHECK: wasm.f32x4.abs %{{.*}}
    %86 = wasm.f32x4.abs %v
    // CHECK: wasm.f32x4.neg %{{.*}}
    %87 = wasm.f32x4.neg %v
    // CHECK: wasm.f32x4.add %{{.*}}, %{{.*}}
    %88 = wasm.f32x4.add %v, %v
    // CHECK: wasm.f32x4.sub %{{.*}}, %{{.*}}
    %89 = wasm.f32x4.sub %v, %v
    // CHECK: wasm.f32x4.mul %{{.*}}, %{{.*}}
    %90 = wasm.f32x4.mul %v, %v
    // CHECK: wasm.f32x4.div %{{.*}}, %{{.*}}
    %91 = wasm.f32x4.div %v, %v
    // CHECK: wasm.f32x4.pmin %{{.*}}, %{{.*}}
    %92 = wasm.f32x4.pmin %v, %v
    // CHECK: wasm.f32x4.pmax %{{.*}}, %{{.*}}
    %93 = wasm.f32x4.pmax %v, %v
    // CHECK: wasm.f32x4.convert_i32x4_s %{{.*}}
    %94 = wasm.f32x4.convert_i32x4_s %v
    // CHECK: wasm.return{{$}}
    wasm.return
  }

  // CHECK: wasm.custom "kimic.kernel" "\01"
  wasm.custom "kimic.kernel" "\01"
}
