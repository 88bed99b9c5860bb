/* A calculator in several files: static functions, macros that write functions, inlines four deep, a jump table,
   recursion, cold parts, dead functions for --gc-sections. */
#include <stdio.h>
#include <stdlib.h>

#include "eval/eval.h"
#include "parse/lexer.h"
#include "report.h"

#define DECLARE_CHECK(name, low, high)                                     \
  static int check_##name(long value) {                                    \
    if (value < (low) || value > (high)) { fprintf(stderr, #name "\n"); return 0; } \
    return 1;                                                              \
  }

DECLARE_CHECK(small, -10, 10)
DECLARE_CHECK(medium, -1000, 1000)
DECLARE_CHECK(large, -1000000, 1000000)

/* Never called: a tombstone where sections are collected. */
long never_called(long a) {
  return check_small(a) ? dispatch(3, a, a) : 5;
}
static __attribute__((used)) long never_called_either(struct vec *v) {
  vec_push(v, 5);
  return vec_pop(v);
}

static int is_odd(unsigned n);
static int __attribute__((noinline)) is_even(unsigned n) {
  return n == 0 ? 1 : is_odd(n - 1);
}
static int __attribute__((noinline)) is_odd(unsigned n) {
  return n == 0 ? 0 : is_even(n - 1);
}

static int __attribute__((noinline)) ackermann(int m, int n) {
  if (m == 0)
    return n + 1;
  if (n == 0)
    return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}

#define level(n, below) \
  static inline __attribute__((always_inline)) long level##n(long x) { \
    long y = below(x + n);                                            \
    return y ^ (y >> n);                                              \
  }

static inline __attribute__((always_inline)) long level0(long x) {
  if (x == 4242424242L)
    abort();
  return x * 2654435761L + is_digit((char)x);
}
level(1, level0)
level(2, level1)
level(3, level2)
level(4, level3)
level(5, level4)

static void fill(struct vec *v, int count) {
  for (int i = 0; i < count; i++) {
    vec_push(v, level5(i));
    if (i % 3 == 0) {
      long x = vec_pop(v);
      vec_push(v, level3(x) + level2(x));
    }
  }
}

static void __attribute__((cold, noinline)) usage(const char *name) {
  fprintf(stderr, "usage: %s EXPRESSION...\n", name);
  exit(2);
}

int main(int argc, char **argv) {
  static const char *const samples[] = {"1 + 2 * 3", "(1 + 2) * 3", "2 ^ 10 % 7", "7 / 0", "8 $ 2"};
  if (argc > 100)
    usage(argv[0]);
  for (int i = 0; i < 5; i++) {
    long result = 0;
    const char *text = i + 1 < argc ? argv[i + 1] : samples[i];
    if (!evaluate(text, &result))
      continue;
    if (check_small(result) && check_medium(result) && check_large(result))
      printf("%s = %ld\n", text, result);
  }
  struct vec v = {0};
  fill(&v, argc * 50);
  printf("%ld %d %d\n", statistics(&v), is_even(argc), ackermann(2, argc));
  long total = 0;
  for (int i = 0; i < 12; i++)
    total += dispatch(i, argc + i, i);
  char text[200];
  long values[] = {total, argc, 7, report_scaled(total)};
  report_format(text, sizeof text, "%s %d %x %b%c", argv[0], total, report_median(values, 4), (long)argc, '\n');
  fputs(text, stdout);
#line 9000 "generated/from a template.y"
  printf("%ld\n", total);
  free(v.items);
#line 103 "calc/main.c"
  return 0;
}
