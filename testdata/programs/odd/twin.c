/* A second file with a local function of the same name, and lines from another file. */
static __attribute__((noinline)) int same_name(int x) {
  return x + 2;
}

#line 500 "odd/elsewhere.c"
static inline int from_elsewhere(int x) {
  return same_name(x) ^ 5;
}
#line 11 "odd/twin.c"

int other_same_name(int x) {
  return from_elsewhere(x) + same_name(x + 1);
}
