// C++ in several files: templates, lambdas, exceptions, std::sort and std::map inlined, virtual and multiple
// inheritance (thunks), constructors and destructors with aliases, static initializers, operators.
#include <cstdio>
#include <iostream>

#include "geometry/shape.hpp"

using geometry::Polygon;

namespace {

struct Guard {
  explicit Guard(const char *what) : what(what) { std::puts(what); }
  ~Guard() { std::printf("end of %s\n", what); }
  const char *what;
};

const Guard program("program");
thread_local int depth = 0;

struct Matrix {
  double cells[4] = {1, 1, 1, 0};
  Matrix operator*(const Matrix &o) const {
    return {{cells[0] * o.cells[0] + cells[1] * o.cells[2], cells[0] * o.cells[1] + cells[1] * o.cells[3],
             cells[2] * o.cells[0] + cells[3] * o.cells[2], cells[2] * o.cells[1] + cells[3] * o.cells[3]}};
  }
  double &operator[](int i) { return cells[i]; }
  explicit operator bool() const { return cells[0] != 0; }
};

template <typename T>
T power(T base, unsigned exponent) {
  if (exponent <= 1) return base;
  T half = power(base, exponent / 2);
  return exponent % 2 ? half * half * base : half * half;
}

[[gnu::noinline]] int fail(int n) {
  depth++;
  Guard guard("fail");
  if (n > 3) throw geometry::Error("deep");
  try {
    return fail(n + 1) + 1;
  } catch (const std::logic_error &) {
    return 0;
  }
}

struct Star : Polygon {
  using Polygon::Polygon;
  std::string title() const override { return "star: " + Polygon::title(); }
  double area() const override { return Polygon::area() * 0.5; }
};

}  // namespace

extern "C" int plain_c_name(int x) {
  return x * x;
}

int main(int argc, char **) {
  auto shapes = geometry::make_shapes(argc * 20);
  shapes.push_back(std::make_unique<Star>("star", std::vector<geometry::Point<double>>{{0, 0}, {1, 0}, {0, 1}}));
  std::cout << geometry::process(shapes) << '\n';
  for (const auto &shape : shapes)
    if (auto *named = dynamic_cast<geometry::Named *>(shape.get())) std::cout << named->title() << '\n';
  try {
    fail(0);
  } catch (const geometry::Error &error) {
    std::cerr << error.what() << depth << '\n';
  }
  Matrix m = power(Matrix{}, static_cast<unsigned>(argc) + 10);
  std::cout << (m ? m[1] : 0) << plain_c_name(argc) << std::endl;
  return 0;
}
