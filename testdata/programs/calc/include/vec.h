/* A header-only library: every function here is inlined into the files that include it. */
#ifndef VEC_H
#define VEC_H
#include <stdlib.h>
#include <string.h>

#define ALWAYS static inline __attribute__((always_inline))

struct vec {
  long *items;
  size_t length;
  size_t room;
};

ALWAYS size_t vec_next_room(size_t room) {
  return room < 8 ? 8 : room * 2;
}

ALWAYS void vec_check(const struct vec *v, size_t index) {
  if (__builtin_expect(index >= v->length, 0))
    abort();
}

ALWAYS void vec_grow(struct vec *v, size_t room) {
  long *items = realloc(v->items, room * sizeof *items);
  if (items == NULL)
    abort();
  v->items = items;
  v->room = room;
}

ALWAYS void vec_reserve(struct vec *v, size_t wanted) {
  while (v->room < wanted)
    vec_grow(v, vec_next_room(v->room));
}

ALWAYS void vec_push(struct vec *v, long item) {
  vec_reserve(v, v->length + 1);
  v->items[v->length++] = item;
}

ALWAYS long vec_at(const struct vec *v, size_t index) {
  vec_check(v, index);
  return v->items[index];
}

ALWAYS long vec_pop(struct vec *v) {
  long item = vec_at(v, v->length - 1);
  v->length--;
  return item;
}

static inline long vec_fold(const struct vec *v, long start, long (*each)(long, long)) {
  for (size_t i = 0; i < v->length; i++)
    start = each(start, vec_at(v, i));
  return start;
}

#endif
