#include "shape.hpp"

#include <cmath>
#include <numeric>

namespace geometry {

namespace {

struct Counter {
  static int live;
  Counter() { live++; }
  ~Counter() { live--; }
};
int Counter::live = 0;

template <typename T, typename F>
T around(const std::vector<Point<T>> &points, F &&each) {
  T total = 0;
  for (std::size_t i = 0; i < points.size(); i++)
    total += each(points[i], points[(i + 1) % points.size()]);
  return total;
}

}  // namespace

inline namespace v1 {
Shape::Shape(std::string name) : name_(std::move(name)) {
  Counter counter;
  if (name_.empty()) throw Error("a shape has a name");
}
Shape::~Shape() = default;
}  // namespace v1

Polygon::Polygon(std::string name, std::vector<Point<double>> points)
    : Shape(std::move(name)), points_(std::move(points)) {
  if (points_.size() < 3) throw Error("too few points in " + this->name());
}

Polygon::~Polygon() {
  points_.clear();
}

double Polygon::area() const {
  return std::abs(around(points_, [](const auto &a, const auto &b) { return a.x * b.y - b.x * a.y; })) / 2;
}

double Polygon::outline() const {
  return around(points_, [scale = 1.0](auto a, auto b) {
    auto root = [&](double x) { return std::sqrt(x) * scale; };
    return root(distance2(a, b));
  });
}

std::string Polygon::title() const {
  return name() + " of " + std::to_string(points_.size());
}

std::vector<std::unique_ptr<Shape>> make_shapes(int count) {
  std::vector<std::unique_ptr<Shape>> shapes;
  for (int i = 0; i < count; i++) {
    try {
      if (i % 2 == 0) {
        shapes.push_back(std::make_unique<Circle>(i % 5 == 4 ? -1.0 : i));
      } else {
        std::vector<Point<double>> points(static_cast<std::size_t>(i % 7));
        double at = 0;
        for (auto &point : points) point = {std::cos(at), std::sin(at++)};
        shapes.emplace_back(new Polygon("polygon" + std::to_string(i), std::move(points)));
      }
    } catch (const Error &error) {
      if (error.what()[0] == '?') throw;
    }
  }
  return shapes;
}

}  // namespace geometry
