/* Needs no library and no start files, so that every target links it. */
#include "mix.h"

typedef unsigned int u32;

static volatile u32 sink;

static u32 table[16];

static INLINE u32 step0(u32 x) {
  return rotate(x, 7) ^ 0x9e3779b9u;
}
static INLINE u32 step1(u32 x) {
  u32 y = step0(x) + step0(x >> 3);
  return y * 5;
}
static INLINE u32 step2(u32 x) {
  return mix(step1(x), x) + 1;
}
static INLINE u32 step3(u32 x) {
  u32 total = 0;
  for (u32 i = 0; i < (x & 7); i++)
    total += step2(total ^ i);
  return total;
}

static NOINLINE u32 recursion(u32 n) {
  return n < 2 ? n : recursion(n - 1) + recursion(n - 2);
}

NOINLINE u32 choose(u32 code, u32 x) {
  switch (code) {
    case 0: return x + 1;
    case 1: return x * 3;
    case 2: return step3(x);
    case 3: return x ^ (x >> 5);
    case 4: return recursion(x & 7);
    case 5: return mix(x, x + 1);
    case 6: return step1(x) - step0(x);
    default: return 0;
  }
}

static NOINLINE void sort(u32 *values, u32 count) {
  for (u32 i = 1; i < count; i++) {
    u32 value = values[i], j = i;
    for (; j > 0 && values[j - 1] > value; j--)
      values[j] = values[j - 1];
    values[j] = value;
  }
}

NOINLINE u32 run(u32 seed) {
  u32 count = sizeof table / sizeof *table;
  for (u32 i = 0; i < count; i++)
    table[i] = choose(i & 7, seed + i);
  sort(table, count);
  u32 total = 0;
  for (u32 i = 0; i < count; i++)
    total = mix(total, table[i]);
  return total;
}

void _start(void) {
  for (u32 i = 0;; i++)
    sink = run(i);
}
void __start(void) __attribute__((alias("_start")));
