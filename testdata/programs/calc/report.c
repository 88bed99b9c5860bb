/* Text output: loops, string building, a second user of the header-only library, variable arguments. */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "include/vec.h"

static char *put_char(char *at, char *end, char c) {
  if (at < end)
    *at++ = c;
  return at;
}

static char *put_text(char *at, char *end, const char *text) {
  while (*text != '\0')
    at = put_char(at, end, *text++);
  return at;
}

static char *put_number(char *at, char *end, long value, unsigned base) {
  char digits[66];
  int count = 0;
  unsigned long rest = value < 0 && base == 10 ? -(unsigned long)value : (unsigned long)value;
  do {
    digits[count++] = "0123456789abcdef"[rest % base];
    rest /= base;
  } while (rest != 0);
  if (value < 0 && base == 10)
    at = put_char(at, end, '-');
  while (count > 0)
    at = put_char(at, end, digits[--count]);
  return at;
}

size_t report_format(char *out, size_t room, const char *format, ...) {
  va_list args;
  char *at = out, *end = out + room - 1;
  va_start(args, format);
  for (; *format != '\0'; format++) {
    if (*format != '%') {
      at = put_char(at, end, *format);
      continue;
    }
    switch (*++format) {
      case 'd': at = put_number(at, end, va_arg(args, long), 10); break;
      case 'x': at = put_number(at, end, va_arg(args, long), 16); break;
      case 'o': at = put_number(at, end, va_arg(args, long), 8); break;
      case 'b': at = put_number(at, end, va_arg(args, long), 2); break;
      case 's': at = put_text(at, end, va_arg(args, const char *)); break;
      case 'c': at = put_char(at, end, (char)va_arg(args, int)); break;
      case '%': at = put_char(at, end, '%'); break;
      default: at = put_text(at, end, "(?)");
    }
  }
  va_end(args);
  *at = '\0';
  return (size_t)(at - out);
}

static void swap(long *a, long *b) {
  long t = *a;
  *a = *b;
  *b = t;
}

static void quick_sort(long *items, long low, long high) {
  while (low < high) {
    long pivot = items[(low + high) / 2], i = low, j = high;
    while (i <= j) {
      while (items[i] < pivot)
        i++;
      while (items[j] > pivot)
        j--;
      if (i <= j)
        swap(&items[i++], &items[j--]);
    }
    if (j - low < high - i) {
      quick_sort(items, low, j);
      low = i;
    } else {
      quick_sort(items, i, high);
      high = j;
    }
  }
}

long report_median(const long *values, size_t count) {
  struct vec v = {0};
  for (size_t i = 0; i < count; i++)
    vec_push(&v, values[i]);
  vec_push(&v, 0);
  quick_sort(v.items, 0, (long)v.length - 1);
  long median = vec_at(&v, v.length / 2);
  if (v.length % 2 == 0)
    median = (median + vec_at(&v, v.length / 2 - 1)) / 2;
  free(v.items);
  return median;
}

#define EACH_UNIT(what) what(bytes, 1) what(kilo, 1024) what(mega, 1048576) what(giga, 1073741824)
#define UNIT_FUNCTION(name, factor)                                                      \
  __attribute__((noinline)) static long in_##name(long value) {                          \
    return value >= 0 ? (value + factor / 2) / factor : -((-value + factor / 2) / factor); \
  }
EACH_UNIT(UNIT_FUNCTION)

long report_scaled(long value) {
#define UNIT_TRY(name, factor) \
  if (in_##name(value) < 1024) \
    return in_##name(value);
  EACH_UNIT(UNIT_TRY)
  return -1;
}
