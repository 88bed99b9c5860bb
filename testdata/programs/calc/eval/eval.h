#ifndef EVAL_H
#define EVAL_H
#include "../include/vec.h"

int evaluate(const char *text, long *result);
long statistics(const struct vec *values);
long dispatch(int code, long a, long b);

#endif
