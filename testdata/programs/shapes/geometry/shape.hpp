#pragma once
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace geometry {

inline namespace v1 {

template <typename T>
struct Point {
  T x, y;
  constexpr Point operator+(const Point &other) const { return {x + other.x, y + other.y}; }
  constexpr Point operator-(const Point &other) const { return {x - other.x, y - other.y}; }
  constexpr T dot(const Point &other) const { return x * other.x + y * other.y; }
  constexpr T length2() const { return dot(*this); }
};

template <typename T>
constexpr T distance2(const Point<T> &a, const Point<T> &b) {
  return (a - b).length2();
}

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Shape {
 public:
  explicit Shape(std::string name);
  virtual ~Shape();
  virtual double area() const = 0;
  virtual double outline() const { return 0; }
  const std::string &name() const { return name_; }

 private:
  std::string name_;
};

class Named {
 public:
  virtual ~Named() = default;
  virtual std::string title() const = 0;
};

}  // namespace v1

class Polygon : public Shape, public virtual Named {
 public:
  Polygon(std::string name, std::vector<Point<double>> points);
  ~Polygon() override;
  double area() const override;
  double outline() const override;
  std::string title() const override;

 protected:
  std::vector<Point<double>> points_;
};

class Circle final : public Shape {
 public:
  explicit Circle(double radius) : Shape("circle"), radius_(radius) {
    if (radius < 0) throw Error("negative radius");
  }
  double area() const override { return 3.14159265358979 * radius_ * radius_; }

 private:
  double radius_;
};

std::vector<std::unique_ptr<Shape>> make_shapes(int count);
double process(const std::vector<std::unique_ptr<Shape>> &shapes);

}  // namespace geometry
