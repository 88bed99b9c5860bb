#ifndef REPORT_H
#define REPORT_H
#include <stddef.h>

size_t report_format(char *out, size_t room, const char *format, ...);
long report_median(const long *values, size_t count);
long report_scaled(long value);

#endif
