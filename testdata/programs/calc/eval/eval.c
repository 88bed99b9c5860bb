#include "eval.h"

#include <stdio.h>

#include "../parse/lexer.h"

static long divided_by_zero(long a) __attribute__((cold, noinline));
static long divided_by_zero(long a) {
  fprintf(stderr, "%ld divided by zero\n", a);
  return 0;
}

static long power(long base, long exponent) {
  if (exponent <= 0)
    return 1;
  long half = power(base, exponent / 2);
  return exponent % 2 ? half * half * base : half * half;
}

#define OPERATOR(name, token, level, expression) \
  static long do_##name(long a, long b) { return expression; }
#include "ops.inc"
#undef OPERATOR

struct op {
  enum token_kind token;
  int level;
  long (*apply)(long, long);
};

static const struct op ops[] = {
#define OPERATOR(name, token, level, expression) {token, level, do_##name},
#include "ops.inc"
#undef OPERATOR
};

static const struct op *find_op(enum token_kind kind) {
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
    if (ops[i].token == kind)
      return &ops[i];
  return NULL;
}

static inline __attribute__((always_inline)) void apply_top(struct vec *values, struct vec *waiting) {
  const struct op *op = find_op((enum token_kind)vec_pop(waiting));
  long b = vec_pop(values), a = vec_pop(values);
  vec_push(values, op->apply(a, b));
}

static inline __attribute__((always_inline)) void apply_down_to(struct vec *values, struct vec *waiting, int level) {
  while (waiting->length > 0) {
    const struct op *top = find_op((enum token_kind)vec_at(waiting, waiting->length - 1));
    if (top == NULL || top->level < level)
      break;
    apply_top(values, waiting);
  }
}

int evaluate(const char *text, long *result) {
  struct lexer lexer = {text, 0};
  struct vec values = {0}, waiting = {0};
  for (;;) {
    struct token token = lexer_next(&lexer);
    if (token.kind == T_END || token.kind == T_BAD)
      break;
    if (token.kind == T_NUMBER) {
      vec_push(&values, token.value);
    } else if (token.kind == T_OPEN) {
      vec_push(&waiting, T_OPEN);
    } else if (token.kind == T_CLOSE) {
      apply_down_to(&values, &waiting, 0);
      if (waiting.length > 0)
        vec_pop(&waiting);
    } else {
      apply_down_to(&values, &waiting, find_op(token.kind)->level);
      vec_push(&waiting, token.kind);
    }
  }
  apply_down_to(&values, &waiting, 0);
  int good = values.length == 1;
  if (good)
    *result = vec_at(&values, 0);
  free(values.items);
  free(waiting.items);
  return good;
}

static long larger(long a, long b) {
  return a > b ? a : b;
}
static long sum(long a, long b) {
  return a + b;
}

long statistics(const struct vec *values) {
  return vec_fold(values, 0, sum) * 1000 + vec_fold(values, -1000000, larger);
}

/* Dense cases: a jump table. */
long dispatch(int code, long a, long b) {
  switch (code) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b + 7;
    case 3: return do_div(a, b);
    case 4: return do_mod(a, b);
    case 5: return power(a, b & 15);
    case 6: return a << (b & 31);
    case 7: return (a ^ b) * 3;
    case 8: { long t = a; for (int i = 0; i < b % 10; i++) t = t * 31 + i; return t; }
    case 9: return __builtin_popcountl(a) + __builtin_clzl(b | 1);
    case 10: return larger(a, b) - sum(a, b);
    default: return -1;
  }
}
