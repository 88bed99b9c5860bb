/* Symbols of every odd kind: assembly functions, IFUNC, aliases, weak, hidden, local twins, no size, no type. */
#include <stdio.h>

int asm_add(int a, int b);
int asm_no_size(int a);
int asm_inner(int a);
int asm_after_data(int a);
int asm_macro_user(int a);

static int same_name(int x) {
  return x + 1;
}
int other_same_name(int x);

__attribute__((noinline)) int real_name(int x) {
  return same_name(x) * 3;
}
extern int an_alias(int) __attribute__((alias("real_name")));
extern int a_weak_alias(int) __attribute__((weak, alias("real_name")));
int __hidden_alias(int) __attribute__((visibility("hidden"), alias("real_name")));
extern int absent(int) __attribute__((weak));

__attribute__((weak, noinline)) int weak_default(int x) {
  return x - 1;
}
__attribute__((visibility("hidden"), noinline)) int hidden_one(int x) {
  return x / 3;
}
__attribute__((section(".text.unlikely"), noinline)) static int unlikely(int x) {
  return x ? x * 7 : 1;
}
__attribute__((section("own_text"), noinline)) int in_own_section(int x) {
  int total = 0;
  for (int i = 0; i < x; i++)
    total += unlikely(i);
  return total;
}

static int fast_version(int x) {
  return x << 1;
}
static int slow_version(int x) {
  return x + x;
}
static int (*choose(void))(int) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("sse2") ? fast_version : slow_version;
}
int chosen(int x) __attribute__((ifunc("choose")));

__attribute__((constructor)) static void before_main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
}
__attribute__((destructor)) static void after_main(void) {
  fflush(stdout);
}

static __attribute__((noinline)) int nested(int x) {
  int count = 0;
#ifndef __clang__
  int inner(int y) {
    count += y;
    return count * x;
  }
  return inner(x) + inner(count);
#else
  return count + x;
#endif
}

/* Functions that begin where their neighbour ends, of one byte and of none worth a line. */
__attribute__((noinline)) void nothing(void) {
  __asm__ volatile("");
}
__attribute__((noinline)) int same_body_1(int x) {
  return x * 12345;
}
__attribute__((noinline)) int same_body_2(int x) {
  return x * 12345;
}

/* A hot loop with an error path that optimizers move into a .cold part. */
__attribute__((noinline)) int hot_and_cold(const int *values, int count) {
  int total = 0;
  for (int i = 0; i < count; i++) {
    if (__builtin_expect(values[i] < 0, 0)) {
      fprintf(stderr, "negative value %d at %d\n", values[i], i);
      hidden_one(values[i]);
      __builtin_trap();
    }
    total += values[i];
  }
  return total;
}

int main(int argc, char **argv) {
  (void)argv;
  int values[] = {1, 2, 3, argc};
  int total = asm_add(argc, 2) + asm_no_size(argc) + asm_inner(argc) + asm_after_data(argc) + asm_macro_user(argc);
  total += real_name(argc) + an_alias(argc) + a_weak_alias(argc) + weak_default(argc) + hidden_one(argc);
  total += __hidden_alias(argc) + (absent ? absent(argc) : 0) + other_same_name(argc) + chosen(argc) + nested(argc);
  total += in_own_section(argc) + same_body_1(argc) + same_body_2(argc) + hot_and_cold(values, 4);
  nothing();
  printf("%d\n", total);
  return 0;
}
