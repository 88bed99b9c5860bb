#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <unordered_map>

#include "geometry/shape.hpp"

namespace geometry {

template <int N>
struct Unrolled {
  template <typename F>
  static inline __attribute__((always_inline)) double run(F f, double x) {
    return Unrolled<N - 1>::run(f, f(x)) + N;
  }
};
template <>
struct Unrolled<0> {
  template <typename F>
  static inline __attribute__((always_inline)) double run(F f, double x) {
    return f(x);
  }
};

template <typename... Ts>
static auto sum_all(Ts... values) {
  return (values + ... + 0);
}

static std::map<std::string, double> by_name(const std::vector<std::unique_ptr<Shape>> &shapes) {
  std::map<std::string, double> result;
  for (const auto &shape : shapes) result[shape->name()] += shape->area();
  return result;
}

double process(const std::vector<std::unique_ptr<Shape>> &shapes) {
  std::vector<const Shape *> order;
  for (const auto &shape : shapes) order.push_back(shape.get());
  std::sort(order.begin(), order.end(), [](const Shape *a, const Shape *b) { return a->area() < b->area(); });
  std::stable_sort(order.begin(), order.end(), [](auto *a, auto *b) { return a->name() < b->name(); });

  std::unordered_map<int, std::function<double(double)>> functions;
  functions[0] = [](double x) { return x + 1; };
  functions[1] = [&order](double x) { return x * static_cast<double>(order.size()); };

  std::set<double> areas;
  std::transform(order.begin(), order.end(), std::inserter(areas, areas.end()), std::mem_fn(&Shape::area));
  double total = std::accumulate(areas.begin(), areas.end(), 0.0, [](double a, double b) { return a + b; });
  for (const auto &[name, area] : by_name(shapes)) total += area / static_cast<double>(name.size());
  for (auto &[key, function] : functions) total = function(total) + key;
  total += Unrolled<5>::run([](double x) { return x < 1e9 ? x * 1.5 + 1 : 0; }, total);

  if (auto it = std::find_if(order.begin(), order.end(), [](auto *s) { return s->outline() > 5; }); it != order.end())
    total += dynamic_cast<const Polygon *>(*it) ? 1 : 2;
  return total + sum_all(1, 2.5, order.size());
}

}  // namespace geometry
