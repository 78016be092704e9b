// VGG19's convolutions (3x3 filters, stride 1, zero padding of one pixel) and Gram products on a CPU.
//
// Each convolution is computed by Winograd's minimal filtering F(4x4, 3x3) or F(6x6, 3x3) (Lavin and
// Gray 2015, arXiv 1509.09308, section 4), or directly. ReLU, bias, ReLU mask, addition and 2x2
// pooling happen while a tile is in cache. The backward pass is the same convolution with turned
// filters. Maps are float32; factors of products are float32 or, where the CPU multiplies them,
// bfloat16, and sums are float32.
//
// Maps are [height][width][channels]. Channels are a multiple of 2 * LANES, except the picture's 3.
// One library is built for each instruction set, see build_kernels.py.
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if !defined(STYLEWATCH_SOURCE)
#define STYLEWATCH_SOURCE 0
#endif

extern "C" struct Convolution {
  int32_t height, width;     // of the maps on both sides of the convolution
  int32_t inputs, outputs;   // channels
  const float* input;        // [height][width][inputs]; if `unpool`, pooled maps instead
  const uint8_t* unpool;     // null, or routes of the pool: the input is a gradient behind the pool
  const void* filters;       // as stylewatch_pack writes them, for the same tile and bfloat16
  const float* bias;         // null, or [outputs]
  const float* add;          // null, or [height][width][outputs], added to the result
  const uint8_t* relu_mask;  // null, or bits [height][width][outputs / 8]: the result is set to 0 where a bit is 0
  float* output;             // null, or [height][width][outputs]
  uint8_t* active;           // null, or bits [height][width][outputs / 8]: where the result is > 0
  float* pooled;             // null, or [pooled height][pooled width][outputs]
  uint8_t* routes;           // null, or bytes shaped as `pooled`: the pixels of 2x2 that get a gradient
  int32_t relu;              // 1: cut the result off at 0
  int32_t average_pool;      // 1: average, 0: maximum
  int32_t ceil_pool;         // 1: pool a part of 2x2 at an odd edge, 0: drop it
  int32_t tile;              // 4 or 6: F(4x4, 3x3) or F(6x6, 3x3); 2: direct
  int32_t bfloat16;          // 1: round factors to bfloat16
  int32_t block;             // tiles at a time
  int32_t threads;
};

// Filters of a convolution or, with `backward`, of the convolution that propagates its gradient back.
extern "C" struct Packing {
  int32_t inputs, outputs;  // channels of the convolution that will use them
  const float* weights;     // [outputs][inputs][3][3]; `backward`: [inputs][outputs][3][3]
  void* packed;
  int32_t backward, tile, bfloat16, threads;
};

// A product of feature maps, F^T: F F^T is written to `matrix`, or (S F)^T in place of the maps, where
// `matrix` is S. `maps` are [positions][channels], `matrix` is [channels][channels].
extern "C" struct Product {
  int64_t positions;
  int32_t channels, threads;
  float* maps;
  float* matrix;
};

namespace {

// ROWS expands its argument for each row of the register tile of `multiply`.
#if defined(__AVX512F__)
constexpr int LANES = 16;
constexpr int ROW_COUNT = 14;
#define ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13)
#else
constexpr int LANES = 8;
constexpr int ROW_COUNT = 6;
#define ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5)
#endif
constexpr int PANEL = 2 * LANES;  // output channels of one register tile
constexpr int PICTURE = 3;        // channels
constexpr int AHEAD = 96;         // steps by which a product prefetches filters, because they are not in the cache

typedef float Vector __attribute__((vector_size(LANES * 4)));
typedef float UnalignedVector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t Mask __attribute__((vector_size(LANES * 4)));
typedef uint8_t Bytes __attribute__((vector_size(LANES)));

inline Vector load(const float* from) { return *reinterpret_cast<const UnalignedVector*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<UnalignedVector*>(to) = value; }
inline Vector broadcast(float value) { return value - Vector{}; }
inline Vector relu(Vector v) { return v < 0 ? Vector{} : v; }  // NaN stays NaN

// store_active writes a bit for each lane that is above 0 or NaN; select_active keeps the lanes whose bit is set;
// select_route keeps the lanes whose byte has bit number `pixel`.
#if defined(__AVX512F__)
inline void store_active(uint8_t* to, Vector v) {
  const __mmask16 bits = _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_NLE_UQ);
  std::memcpy(to, &bits, sizeof bits);
}
inline Vector select_active(const uint8_t* from, Vector v) {
  __mmask16 bits;
  std::memcpy(&bits, from, sizeof bits);
  return (Vector)_mm512_maskz_mov_ps(bits, (__m512)v);
}
inline Vector select_route(const uint8_t* from, int pixel, Vector v) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return (Vector)_mm512_maskz_mov_ps(_mm_test_epi8_mask(bytes, _mm_set1_epi8(1 << pixel)), (__m512)v);
}
#elif defined(__AVX2__)
inline Vector select_bits(__m256i words, __m256i bits, Vector v) {
  const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(words, bits), bits);
  return (Vector)_mm256_and_ps((__m256)v, _mm256_castsi256_ps(set));
}
inline void store_active(uint8_t* to, Vector v) {
  *to = _mm256_movemask_ps(_mm256_cmp_ps((__m256)v, _mm256_setzero_ps(), _CMP_NLE_UQ));
}
inline Vector select_active(const uint8_t* from, Vector v) {
  return select_bits(_mm256_set1_epi32(*from), _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128), v);
}
inline Vector select_route(const uint8_t* from, int pixel, Vector v) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  return select_bits(_mm256_cvtepu8_epi32(bytes), _mm256_set1_epi32(1 << pixel), v);
}
#else
inline void store_active(uint8_t* to, Vector v) {
  uint8_t bits = 0;
  for (int i = 0; i < LANES; i++) bits |= uint8_t(!(v[i] <= 0)) << i;
  *to = bits;
}
inline Vector select_active(const uint8_t* from, Vector v) {
  for (int i = 0; i < LANES; i++) v[i] = *from >> i & 1 ? v[i] : 0.f;
  return v;
}
inline Vector select_route(const uint8_t* from, int pixel, Vector v) {
  for (int i = 0; i < LANES; i++) v[i] = from[i] >> pixel & 1 ? v[i] : 0.f;
  return v;
}
#endif

inline long round_up(long value, long step) { return (value + step - 1) / step * step; }

// A type of factors. GROUP is how many factors along the depth of a product one instruction multiplies.
struct Float32 {
  typedef float Type;
  typedef Vector Factors;
  static constexpr int GROUP = 1;
  static void store(Type* to, Vector v) { ::store(to, v); }
  static Factors load(const Type* from) { return ::load(from); }
  static Factors broadcast(const Type* from) { return ::broadcast(*from); }
  static void accumulate(Vector& sum, Factors a, Factors b) { sum += a * b; }
  static Factors group(const Vector* v) { return v[0]; }
};
#if defined(__AVX512BF16__)
struct BFloat16 {
  typedef uint16_t Type;
  typedef __m512bh Factors;
  static constexpr int GROUP = 2;
  static void store(Type* to, Vector v) {
    const __m256bh rounded = _mm512_cvtneps_pbh((__m512)v);
    std::memcpy(to, &rounded, sizeof rounded);
  }
  static Factors load(const Type* from) { return (__m512bh)_mm512_loadu_si512(from); }
  static Factors broadcast(const Type* from) {
    int32_t pair;
    std::memcpy(&pair, from, sizeof pair);
    return (__m512bh)_mm512_set1_epi32(pair);
  }
  static void accumulate(Vector& sum, Factors a, Factors b) {
    sum = (Vector)_mm512_dpbf16_ps((__m512)sum, a, b);
  }
  static Factors group(const Vector* v) {  // pairs, lane by lane; the value of v[0] is the low half
    const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)v[0]));
    const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)v[1]));
    return (__m512bh)_mm512_or_si512(low, _mm512_slli_epi32(high, 16));
  }
};
#endif

// Compute one register tile C[COUNT][PANEL] = A[COUNT][depth] * B[depth][PANEL], or with `add` add the
// product to C. Rows of C are `stride` apart. Rows of A are contiguous. B is packed: GROUP values of a
// column lie side by side. If TRANSPOSED, the rows of A and the columns of B are columns of one matrix,
// whose rows are `columns` apart.
// Row r has two sums, low##r and high##r, of LANES columns each. Macros name them, because GCC keeps
// an array of sums in memory instead of registers.
template <class Number, int COUNT = ROW_COUNT, bool TRANSPOSED = false>
void multiply(long depth, const typename Number::Type* A, const typename Number::Type* B, float* C,
              long stride, bool add = false, long columns = 0) {
  constexpr int GROUP = Number::GROUP;
  const long a_step = TRANSPOSED ? columns : GROUP, b_step = TRANSPOSED ? columns : PANEL * GROUP;
  const long row_step = TRANSPOSED ? 1 : depth;
#define DECLARE(r) Vector low##r{}, high##r{}; const typename Number::Type* row##r = A + r * row_step;
#define START(r) if constexpr (r < COUNT) { low##r = load(C + r * stride); high##r = load(C + r * stride + LANES); }
#define STEP(r) if constexpr (r < COUNT) { const typename Number::Factors a = Number::broadcast(row##r + k * a_step); \
    Number::accumulate(low##r, a, b_low); Number::accumulate(high##r, a, b_high); }
#define STORE(r) if constexpr (r < COUNT) { store(C + r * stride, low##r); store(C + r * stride + LANES, high##r); }
  ROWS(DECLARE)
  if (add) { ROWS(START) }
  _Pragma("GCC unroll 2")
  for (long k = 0; k < depth / GROUP; k++) {
    if constexpr (!TRANSPOSED) __builtin_prefetch(B + (k + AHEAD) * b_step);
    const typename Number::Factors b_low = Number::load(B + k * b_step);
    const typename Number::Factors b_high = Number::load(B + k * b_step + LANES * GROUP);
    ROWS(STEP)
  }
  ROWS(STORE)
}

// Compute a register tile of 1 to ROW_COUNT rows: find the `multiply` for that number.
template <class Number, int COUNT = ROW_COUNT>
void multiply_rows(long rows, long depth, const typename Number::Type* A,
                   const typename Number::Type* B, float* C, long stride) {
  if constexpr (COUNT > 1)
    if (rows < COUNT) return multiply_rows<Number, COUNT - 1>(rows, depth, A, B, C, stride);
  multiply<Number, COUNT>(depth, A, B, C, stride);
}

// Multiply `rows` of A[rows][depth], split evenly into register tiles, by `columns` (whole panels)
// of B; rows of C are `stride` apart.
template <class Number>
void multiply_panels(long rows, long depth, long columns, const typename Number::Type* A,
                     const typename Number::Type* B, float* C, long stride) {
  const long tiles = (rows + ROW_COUNT - 1) / ROW_COUNT, most = (rows + tiles - 1) / tiles;
  for (long panel = 0; panel < columns; panel += PANEL)
    for (long row = 0; row < rows; row += most)
      multiply_rows<Number>(std::min(most, rows - row), depth, A + row * depth, B + panel * depth,
                            C + row * stride + panel, stride);
}

// Call work(context) in `threads` threads, those of OpenMP if torch has loaded it, else new ones.
void in_threads(int threads, void (*work)(void*), void* context) {
  using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
  static const auto openmp = reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  if (threads == 1) {
    work(context);
  } else if (openmp) {
    openmp(work, context, threads, 0);
  } else {
    std::vector<std::thread> others;
    for (int i = 1; i < threads; i++) others.emplace_back(work, context);
    work(context);
    for (auto& other : others) other.join();
  }
}

// Each task below is a class, a way to do it. A way has `tile_count` parts, of which `block` does some at
// a time, in working memory of `block_bytes`. The caller allocates that memory, and handles a failure.

// Do all tiles of `way` in blocks of at most `size`, the same number of blocks for each thread. Return
// the bytes of memory that all threads need; without `memory` do nothing else.
template <class Way> size_t run(Way&& way, long size, int threads, char* memory) {
  struct Queue {
    Way& way;
    const long size;
    const size_t bytes;
    char* const memory;
    std::atomic<long> next{0}, threads{0};
  };
  if (!way.tile_count) return 0;
  const long blocks = round_up((way.tile_count + size - 1) / size, threads);
  size = (way.tile_count + blocks - 1) / blocks;
  const size_t bytes = round_up(way.block_bytes(size), 64);
  if (!memory) return bytes * threads;
  Queue queue{way, size, bytes, memory};
  in_threads(threads, [](void* context) {
    auto& queue = *static_cast<Queue*>(context);
    const long count = queue.way.tile_count;
    char* memory = queue.memory + queue.threads.fetch_add(1) * queue.bytes;
    for (long first; (first = queue.next.fetch_add(queue.size)) < count;)
      queue.way.block(first, std::min(queue.size, count - first), memory);
  }, &queue);
  return bytes * threads;
}

// Call act(i) for each i below `count`, in `threads` threads.
template <class Act> void each(long count, int threads, const Act& act) {
  struct Calls {
    const Act& act;
    const long tile_count;
    size_t block_bytes(long) const { return 0; }
    void block(long first, long count, char*) const {
      for (long i = first; i < first + count; i++) act(i);
    }
  };
  char none;
  Calls calls{act, count};
  if (threads == 1) calls.block(0, count, &none);
  else run(calls, 1, threads, &none);
}

// Base of all ways to convolve: reads the input, and finishes a tile of M x M results.
template <int M> struct Tiles {
  const Convolution& c;
  const int tiles_across;
  const long tile_count;
  const int pooled_height, pooled_width;

  explicit Tiles(const Convolution& c)
      : c(c),
        tiles_across((c.width + M - 1) / M),
        tile_count(long((c.height + M - 1) / M) * tiles_across),
        pooled_height((c.height + c.ceil_pool) / 2),
        pooled_width((c.width + c.ceil_pool) / 2) {}

  int top(long tile) const { return int(tile / tiles_across) * M; }
  int left(long tile) const { return int(tile % tiles_across) * M; }

  // The input at a pixel: 0 outside the maps, and in an odd edge that a pool dropped.
  Vector read(int y, int x, int channel) const {
    if (y < 0 || x < 0 || y >= c.height || x >= c.width) return Vector{};
    if (!c.unpool) return load(c.input + (long(y) * c.width + x) * c.inputs + channel);
    if (y / 2 >= pooled_height || x / 2 >= pooled_width) return Vector{};
    const long at = (long(y / 2) * pooled_width + x / 2) * c.inputs + channel;
    const Vector v = select_route(c.unpool + at, (y & 1) * 2 + (x & 1), load(c.input + at));
    return c.average_pool ? v * share(y / 2, x / 2) : v;
  }

  // The weight of each pixel in an average: 1/4, or more where 2x2 reaches over an odd edge.
  float share(int y, int x) const {
    return (2 * y + 1 < c.height ? .5f : 1.f) * (2 * x + 1 < c.width ? .5f : 1.f);
  }

  void finish(long tile, int channel, Vector (*result)[M]) const {
    const int y0 = top(tile), x0 = left(tile);
    const int rows = std::min(M, c.height - y0), columns = std::min(M, c.width - x0);
    const Vector bias = c.bias ? load(c.bias + channel) : Vector{};
    for (int y = 0; y < rows; y++)
      for (int x = 0; x < columns; x++) {
        const long at = (long(y0 + y) * c.width + x0 + x) * c.outputs + channel;
        Vector v = result[y][x] + bias;
        if (c.add) v += load(c.add + at);
        if (c.relu_mask) v = select_active(c.relu_mask + at / 8, v);
        if (c.relu) v = relu(v);
        if (c.output) store(c.output + at, v);
        if (c.active) store_active(c.active + at / 8, v);
        result[y][x] = v;
      }
    if (c.pooled) pool(y0, x0, rows, columns, channel, result);
  }

  // A tile begins at an even pixel, so each 2x2 lies in one tile.
  void pool(int y0, int x0, int rows, int columns, int channel, const Vector (*v)[M]) const {
    for (int y = 0; y < rows && (y0 + y) / 2 < pooled_height; y += 2)
      for (int x = 0; x < columns && (x0 + x) / 2 < pooled_width; x += 2) {
        const bool right = x + 1 < columns, below = y + 1 < rows;
        const Vector& first = v[y][x];
        Vector pooled = first;
        Mask routes;
        if (c.average_pool) {
          routes = ~(first <= 0) & 1;
#define ADD(value, bit) { pooled += value; routes |= ~(value <= 0) & bit; }
          if (right) ADD(v[y][x + 1], 2)
          if (below) ADD(v[y + 1][x], 4)
          if (right && below) ADD(v[y + 1][x + 1], 8)
          pooled *= share((y0 + y) / 2, (x0 + x) / 2);
        } else {
          routes = Mask{} + 1;
#define COMPARE(value, bit) { const Mask more = (value > pooled) | (value != value); \
          pooled = more ? value : pooled; routes = more ? Mask{} + bit : routes; }
          if (right) COMPARE(v[y][x + 1], 2)
          if (below) COMPARE(v[y + 1][x], 4)
          if (right && below) COMPARE(v[y + 1][x + 1], 8)
          routes &= ~(pooled <= 0);  // an inactive ReLU passes nothing back
        }
        const long at = (long((y0 + y) / 2) * pooled_width + (x0 + x) / 2) * c.outputs + channel;
        store(c.pooled + at, pooled);
        if (c.routes) {
          const Bytes bytes = __builtin_convertvector(routes, Bytes);
          std::memcpy(c.routes + at, &bytes, sizeof bytes);
        }
      }
  }
};

// The transforms of one line: B^T d, A^T m and G g of Lavin and Gray, for the points 0, 1, -1, 2, -2
// (and 1/2, -1/2) and infinity.
template <int M> struct Line;
template <> struct Line<4> {
  static void input(const Vector* d, Vector* o) {
    const Vector a = d[4] - 4.f * d[2], b = d[3] - 4.f * d[1];
    const Vector e = d[4] - d[2], f = 2.f * (d[3] - d[1]);
    o[0] = 4.f * d[0] - 5.f * d[2] + d[4];
    o[1] = a + b;
    o[2] = a - b;
    o[3] = e + f;
    o[4] = e - f;
    o[5] = 4.f * d[1] - 5.f * d[3] + d[5];
  }
  static void output(const Vector* m, Vector* o) {
    const Vector a = m[1] + m[2], b = m[1] - m[2], e = m[3] + m[4], f = m[3] - m[4];
    o[0] = m[0] + a + e;
    o[1] = b + 2.f * f;
    o[2] = a + 4.f * e;
    o[3] = b + 8.f * f + m[5];
  }
  static void filter(const Vector* g, Vector* o) {
    const Vector a = (g[0] + g[2]) / -6.f, b = g[1] / 6.f;
    const Vector e = g[0] / 24.f + g[2] / 6.f, f = g[1] / 12.f;
    o[0] = g[0] / 4.f;
    o[1] = a - b;
    o[2] = a + b;
    o[3] = e + f;
    o[4] = e - f;
    o[5] = g[2];
  }
};
template <> struct Line<6> {
  static void input(const Vector* d, Vector* o) {
    const Vector a = d[2] + d[6] - 4.25f * d[4], b = d[1] + d[5] - 4.25f * d[3];
    const Vector e = d[6] + 0.25f * d[2] - 1.25f * d[4], f = 0.5f * d[1] - 2.5f * d[3] + 2.f * d[5];
    const Vector g = d[6] + 4.f * d[2] - 5.f * d[4], h = 2.f * d[1] - 2.5f * d[3] + 0.5f * d[5];
    o[0] = d[0] - d[6] + 5.25f * (d[4] - d[2]);
    o[1] = a + b;
    o[2] = a - b;
    o[3] = e + f;
    o[4] = e - f;
    o[5] = g + h;
    o[6] = g - h;
    o[7] = d[7] - d[1] + 5.25f * (d[3] - d[5]);
  }
  static void output(const Vector* m, Vector* o) {
    const Vector a = m[1] + m[2], b = m[1] - m[2], e = m[3] + m[4], f = m[3] - m[4];
    const Vector g = m[5] + m[6], h = m[5] - m[6];
    o[0] = m[0] + a + e + 32.f * g;
    o[1] = b + 2.f * f + 16.f * h;
    o[2] = a + 4.f * e + 8.f * g;
    o[3] = b + 8.f * f + 4.f * h;
    o[4] = a + 16.f * e + 2.f * g;
    o[5] = b + 32.f * f + h + m[7];
  }
  static void filter(const Vector* g, Vector* o) {
    const Vector a = (g[0] + g[2]) * (-2.f / 9), b = g[1] * (2.f / 9);
    const Vector e = g[0] / 90.f + g[2] * (2.f / 45), f = g[1] / 45.f;
    const Vector h = g[0] / 45.f + g[2] / 180.f, i = g[1] / 90.f;
    o[0] = g[0];
    o[1] = a - b;
    o[2] = a + b;
    o[3] = e + f;
    o[4] = e - f;
    o[5] = h + i;
    o[6] = h - i;
    o[7] = g[2];
  }
};

// Winograd's way, in blocks of tiles: transform the tiles, multiply each of their T * T positions by its
// filters, transform the products back.
template <int M, class Number> struct Winograd : Tiles<M> {
  static constexpr int T = M + 2, POSITIONS = T * T;
  typedef typename Number::Type Factor;
  using Tiles<M>::c;
  using Tiles<M>::Tiles;

  // Values between two positions: 32 or 16 more than needed, lest all fall into the same sets of the cache.
  long input_step(long rows) const { return rows * c.inputs + 32; }
  long output_step(long rows) const { return rows * c.outputs + 16; }

  size_t block_bytes(long size) const {
    return POSITIONS * (input_step(size) * sizeof(Factor) + output_step(size) * sizeof(float));
  }

  void block(long first, long count, char* memory, int threads = 1) const {
    const long input_step = this->input_step(count), output_step = this->output_step(count);
    Factor* transformed = reinterpret_cast<Factor*>(memory);
    float* products = reinterpret_cast<float*>(memory + POSITIONS * input_step * sizeof(Factor));
    each(count, threads, [&](long i) { transform(first + i, transformed + i * c.inputs, input_step); });
    each(POSITIONS, threads, [&](long p) {
      const Factor* filters = static_cast<const Factor*>(c.filters) + p * c.inputs * c.outputs;
      multiply_panels<Number>(count, c.inputs, c.outputs, transformed + p * input_step, filters,
                              products + p * output_step, c.outputs);
    });
    each(count, threads, [&](long i) { untransform(first + i, products + i * c.outputs, output_step); });
  }

  void transform(long tile, Factor* to, long step) const {
    const int y0 = this->top(tile) - 1, x0 = this->left(tile) - 1;
    // The two fast ways read without `read`'s questions. They leave an odd last line or column to
    // `read`, which knows that a pool drops it, or that its share of an average is larger than 1/4.
    const int whole_height = c.height & ~1, whole_width = c.width & ~1;
    const bool inside = y0 >= 0 && x0 >= 0 && y0 + T <= whole_height && x0 + T <= whole_width;
    if (inside && !c.unpool) {
      const float* from = c.input + (long(y0) * c.width + x0) * c.inputs;
      const long line = long(c.width) * c.inputs;
      transform(to, step, [&](int y, int x, int channel) { return load(from + y * line + x * c.inputs + channel); });
    } else if (inside) {
      transform(to, step, [&](int y, int x, int channel) {
        const int row = y0 + y, column = x0 + x;
        const long at = (long(row / 2) * this->pooled_width + column / 2) * c.inputs + channel;
        const Vector v = select_route(c.unpool + at, (row & 1) * 2 + (column & 1), load(c.input + at));
        return c.average_pool ? v * .25f : v;
      });
    } else {
      transform(to, step, [&](int y, int x, int channel) { return this->read(y0 + y, x0 + x, channel); });
    }
  }

  template <class Read> void transform(Factor* to, long step, const Read& read) const {
    for (int channel = 0; channel < c.inputs; channel += LANES) {
      Vector half[T][T], line[T], out[T];
      for (int x = 0; x < T; x++) {
        for (int y = 0; y < T; y++) line[y] = read(y, x, channel);
        Line<M>::input(line, out);
        for (int y = 0; y < T; y++) half[y][x] = out[y];
      }
      for (int y = 0; y < T; y++) {
        Line<M>::input(half[y], out);
        for (int x = 0; x < T; x++) Number::store(to + (y * T + x) * step + channel, out[x]);
      }
    }
  }

  void untransform(long tile, const float* from, long step) const {
    for (int channel = 0; channel < c.outputs; channel += LANES) {
      Vector half[M][T], line[T], out[M], result[M][M];
      for (int x = 0; x < T; x++) {
        for (int y = 0; y < T; y++) line[y] = load(from + (y * T + x) * step + channel);
        Line<M>::output(line, out);
        for (int y = 0; y < M; y++) half[y][x] = out[y];
      }
      for (int y = 0; y < M; y++) Line<M>::output(half[y], result[y]);
      this->finish(tile, channel, result);
    }
  }
};

// The direct way, in blocks of 2x2 tiles: gather the 9 * inputs values around each pixel as a row, and
// multiply the rows by the filters.
template <class Number> struct Direct : Tiles<2> {
  typedef typename Number::Type Factor;
  using Tiles<2>::Tiles;

  size_t block_bytes(long size) const {
    return 4 * size * (c.outputs * sizeof(float) + 9L * c.inputs * sizeof(Factor));
  }

  void block(long first, long count, char* memory, int threads = 1) const {
    const long depth = 9L * c.inputs;
    float* products = reinterpret_cast<float*>(memory);
    Factor* patches = reinterpret_cast<Factor*>(products + 4 * count * c.outputs);
    each(4 * count, threads, [&](long row) {
      gather(top(first + row / 4) + int(row % 4 / 2), left(first + row / 4) + int(row % 2), patches + row * depth);
    });
    each(c.outputs / PANEL, threads, [&](long panel) {
      const Factor* filters = static_cast<const Factor*>(c.filters) + panel * PANEL * depth;
      multiply_panels<Number>(4 * count, depth, PANEL, patches, filters, products + panel * PANEL, c.outputs);
    });
    each(count, threads, [&](long i) {
      for (int channel = 0; channel < c.outputs; channel += LANES) {
        Vector result[2][2];
        for (int p = 0; p < 4; p++)
          result[p / 2][p % 2] = load(products + (4 * i + p) * c.outputs + channel);
        finish(first + i, channel, result);
      }
    });
  }

  void gather(int y0, int x0, Factor* to) const {
    for (int y = y0 - 1; y <= y0 + 1; y++)
      for (int x = x0 - 1; x <= x0 + 1; x++, to += c.inputs)
        if (c.inputs == PICTURE) {
          const bool inside = y >= 0 && x >= 0 && y < c.height && x < c.width;
          for (int i = 0; i < PICTURE; i++)
            to[i] = inside ? c.input[(long(y) * c.width + x) * PICTURE + i] : 0.f;
        } else {
          for (int i = 0; i < c.inputs; i += LANES) Number::store(to + i, read(y, x, i));
        }
  }
};

// Convolve in blocks, one for each thread at a time. Tiles for two blocks or fewer are one block, which
// all threads share: if each thread read all filters, that would take longer than the products.
template <class Way> size_t convolve(const Way& way, char* memory) {
  const Convolution& c = way.c;
  if (c.threads == 1 || way.tile_count > 2 * c.block) return run(way, c.block, c.threads, memory);
  if (memory) way.block(0, way.tile_count, memory, c.threads);
  return way.block_bytes(way.tile_count);
}

// The gradient of the picture: compute the 9 * 3 values that each pixel of the input adds to the pixels
// around it, then sum the nine that meet in a pixel.
struct PictureGradient {
  static constexpr int VALUES = 32, LINES = 32;  // 9 * 3 values and zeros; lines of a tile
  const Convolution& c;
  const long tile_count;
  const long stride;

  explicit PictureGradient(const Convolution& c)
      : c(c), tile_count((c.height + LINES - 1) / LINES), stride(long(c.width) * VALUES) {}

  size_t block_bytes(long) const { return 3 * stride * sizeof(float); }

  void block(long index, long count, char* memory) const {
    const int first = int(index) * LINES, end = std::min<int>(int(index + count) * LINES, c.height);
    float* ring = reinterpret_cast<float*>(memory);  // products of the last three lines
    for (int y = std::max(first - 1, 0); y <= std::min(end, c.height - 1); y++) {
      multiply_panels<Float32>(c.width, c.inputs, VALUES, c.input + long(y) * c.width * c.inputs,
                               static_cast<const float*>(c.filters), ring + y % 3 * stride, VALUES);
      if (y > first) collect(y - 1, ring);
    }
    if (end == c.height) collect(end - 1, ring);
  }

  void collect(int y, const float* ring) const {
    for (int x = 0; x < c.width; x++) {
      float sum[PICTURE] = {};
      for (int dy = std::max(-1, -y); dy <= std::min(1, c.height - 1 - y); dy++)
        for (int dx = std::max(-1, -x); dx <= std::min(1, c.width - 1 - x); dx++) {
          const float* from = ring + (y + dy) % 3 * stride + long(x + dx) * VALUES + ((1 - dy) * 3 + 1 - dx) * PICTURE;
          for (int i = 0; i < PICTURE; i++) sum[i] += from[i];
        }
      std::copy(sum, sum + PICTURE, c.output + (long(y) * c.width + x) * PICTURE);
    }
  }
};

// Filters for `multiply_panels`, panel by panel. Tap t of a 3x3 filter is in line t / 3, column t % 3.
template <class Number> struct Pack {
  static constexpr int GROUP = Number::GROUP;
  typedef typename Number::Type Factor;
  const Packing& p;
  const long tile_count;

  explicit Pack(const Packing& p)
      : p(p), tile_count((p.outputs == PICTURE ? PictureGradient::VALUES : p.outputs) / PANEL) {}

  float tap(long output, long input, int t) const {
    return p.backward ? p.weights[(input * p.outputs + output) * 9 + 8 - t]
                      : p.weights[(output * p.inputs + input) * 9 + t];
  }

  size_t block_bytes(long) const { return 0; }

  void block(long first, long count, char*) const {
    for (long panel = first; panel < first + count; panel++)
      if (p.outputs == PICTURE)
        picture(panel * PANEL, static_cast<float*>(p.packed) + panel * PANEL * p.inputs);
      else if (p.tile == 2)
        direct(panel * PANEL, static_cast<Factor*>(p.packed) + panel * PANEL * 9 * p.inputs);
      else if (p.tile == 4)
        winograd<4>(panel * PANEL, static_cast<Factor*>(p.packed) + panel * PANEL * p.inputs);
      else
        winograd<6>(panel * PANEL, static_cast<Factor*>(p.packed) + panel * PANEL * p.inputs);
  }

  void picture(int first, float* to) const {
    for (long k = 0; k < p.inputs; k++)
      for (int v = first; v < first + PANEL; v++)
        *to++ = v < 9 * PICTURE ? tap(v % PICTURE, k, 8 - v / PICTURE) : 0.f;
  }

  void direct(long output, Factor* to) const {
    for (int t = 0; t < 9; t++)
      for (long k = 0; k < p.inputs; k += GROUP)
        for (int half = 0; half < PANEL; half += LANES, to += LANES * GROUP) {
          Vector taps[GROUP];
          for (int g = 0; g < GROUP; g++)
            for (int lane = 0; lane < LANES; lane++) taps[g][lane] = tap(output + half + lane, k + g, t);
          const typename Number::Factors grouped = Number::group(taps);
          std::memcpy(to, &grouped, sizeof grouped);
        }
  }

  template <int M> void winograd(long output, Factor* to) const {
    constexpr int T = M + 2;
    for (long k = 0; k < p.inputs; k += GROUP)
      for (int half = 0; half < PANEL; half += LANES, to += LANES * GROUP) {
        Vector transformed[T * T][GROUP];
        for (int g = 0; g < GROUP; g++) {
          Vector taps[9], columns[3][T], line[3], out[T];
          for (int t = 0; t < 9; t++)
            for (int lane = 0; lane < LANES; lane++) taps[t][lane] = tap(output + half + lane, k + g, t);
          for (int x = 0; x < 3; x++) {
            for (int y = 0; y < 3; y++) line[y] = taps[y * 3 + x];
            Line<M>::filter(line, columns[x]);
          }
          for (int y = 0; y < T; y++) {
            for (int x = 0; x < 3; x++) line[x] = columns[x][y];
            Line<M>::filter(line, out);
            for (int x = 0; x < T; x++) transformed[y * T + x][g] = out[x];
          }
        }
        for (int i = 0; i < T * T; i++) {
          const typename Number::Factors grouped = Number::group(transformed[i]);
          std::memcpy(to + long(i) * p.inputs * p.outputs, &grouped, sizeof grouped);
        }
      }
  }
};

// A ReLU's gradient, in place: set `output` to 0 by the ReLU mask and, with `unpool`, add the gradient from
// behind the pool. There is no convolution; inputs equal outputs, and a tile is a pixel.
struct Unpool : Tiles<1> {
  using Tiles<1>::Tiles;

  size_t block_bytes(long) const { return 0; }

  void block(long first, long count, char*) const {
    for (long pixel = first; pixel < first + count; pixel++)
      for (int channel = 0; channel < c.outputs; channel += LANES) {
        const long at = pixel * c.outputs + channel;
        Vector v = select_active(c.relu_mask + at / 8, load(c.output + at));
        if (c.unpool) v += read(top(pixel), left(pixel), channel);
        store(c.output + at, v);
      }
  }
};

// The upper triangle of F F^T: for each of `parts` ranges of positions and each panel of columns, the
// product of the rows down to the diagonal. The number of parts does not depend on the threads, so
// the bits of the result do not either.
struct GramParts {
  static constexpr int DEPTH = 128;  // positions that stay in the cache
  const Product& p;
  const long parts, panels, rows, tile_count;
  float* sums = nullptr;  // [parts][panels][rows][PANEL]

  explicit GramParts(const Product& p)
      : p(p),
        parts(std::clamp<long>(p.positions / DEPTH, 1, std::max(1, 1024 / p.channels))),
        panels(p.channels / PANEL),
        rows(round_up(p.channels, ROW_COUNT)),
        tile_count(parts * panels) {}

  size_t sum_count() const { return tile_count * rows * PANEL; }
  size_t block_bytes(long) const { return (DEPTH * p.channels + ROW_COUNT) * sizeof(float); }
  float* part(long index, long panel) { return sums + (index * panels + panel) * rows * PANEL; }

  void block(long first, long count, char* memory) {
    for (long i = first; i < first + count; i++) {
      const long index = i / panels, panel = panels - 1 - i % panels;
      const long begin = p.positions * index / parts, end = p.positions * (index + 1) / parts;
      for (long k = begin; k < end; k += DEPTH)
        add(k, std::min<long>(DEPTH, end - k), panel, part(index, panel), k > begin, memory);
    }
  }

  void add(long first, long depth, long panel, float* to, bool more, char* memory) {
    const float* from = p.maps + first * p.channels;
    if (first + depth == p.positions) {  // the last row of a tile may reach behind the maps
      float* copy = reinterpret_cast<float*>(memory);
      std::copy(from, from + depth * p.channels, copy);
      from = copy;
    }
    for (long row = 0; row < (panel + 1) * PANEL; row += ROW_COUNT)
      multiply<Float32, ROW_COUNT, true>(depth, from + row, from + panel * PANEL, to + row * PANEL, PANEL, more, p.channels);
  }

  // Add the parts, and mirror the triangle by squares of LANES that stay in the cache.
  void sum() {
    for (long panel = 0; panel < panels; panel++) {
      float* total = part(0, panel);
      for (long row = 0; row < (panel + 1) * PANEL; row += LANES) {
        for (long i = row * PANEL; i < (row + LANES) * PANEL; i += LANES) {
          for (long index = 1; index < parts; index++) store(total + i, load(total + i) + load(part(index, panel) + i));
          store(p.matrix + i / PANEL * p.channels + panel * PANEL + i % PANEL, load(total + i));
        }
        for (long lane = 0; lane < PANEL; lane++)
          for (long i = row; i < row + LANES; i++)
            p.matrix[(panel * PANEL + lane) * p.channels + i] = total[i * PANEL + lane];
      }
    }
  }
};

// Replace each position of the maps by its product with a symmetric matrix, packed in panels.
struct InPlace {
  const Product& p;
  const long tile_count;
  float* panels = nullptr;  // [channels / PANEL][channels][PANEL]

  explicit InPlace(const Product& p) : p(p), tile_count(p.positions) {}

  size_t panel_count() const { return size_t(p.channels) * p.channels; }

  void pack() {
    float* to = panels;
    for (long panel = 0; panel < p.channels; panel += PANEL)
      for (long k = 0; k < p.channels; k++, to += PANEL)
        std::copy_n(p.matrix + k * p.channels + panel, PANEL, to);
  }

  size_t block_bytes(long size) const { return size * p.channels * sizeof(float); }

  void block(long first, long count, char* memory) const {
    float* maps = p.maps + first * p.channels;
    float* copy = reinterpret_cast<float*>(memory);
    std::copy(maps, maps + count * p.channels, copy);
    multiply_panels<Float32>(count, p.channels, p.channels, copy, panels, maps, p.channels);
  }
};

}  // namespace

// The checksum of this file when it was compiled: a library of another version has another one.
extern "C" uint32_t stylewatch_source() { return STYLEWATCH_SOURCE; }

extern "C" int stylewatch_has_bfloat16() {
#if defined(__AVX512BF16__)
  return 1;
#else
  return 0;
#endif
}

// Called without `memory`, each function below only returns the bytes of working memory that it needs.

extern "C" size_t stylewatch_pack(const Packing* p, char* memory) {
#if defined(__AVX512BF16__)
  if (p->bfloat16) return run(Pack<BFloat16>(*p), 1, p->threads, memory);
#endif
  return run(Pack<Float32>(*p), 1, p->threads, memory);
}

extern "C" size_t stylewatch_convolve(const Convolution* c, char* memory) {
  if (c->outputs == PICTURE) return run(PictureGradient(*c), 1, c->threads, memory);
#if defined(__AVX512BF16__)
  if (c->bfloat16 && c->tile == 2) return convolve(Direct<BFloat16>(*c), memory);
  if (c->bfloat16 && c->tile == 4) return convolve(Winograd<4, BFloat16>(*c), memory);
  if (c->bfloat16) return convolve(Winograd<6, BFloat16>(*c), memory);
#endif
  if (c->tile == 2) return convolve(Direct<Float32>(*c), memory);
  if (c->tile == 4) return convolve(Winograd<4, Float32>(*c), memory);
  return convolve(Winograd<6, Float32>(*c), memory);
}

extern "C" size_t stylewatch_unpool(const Convolution* c, char* memory) {
  return run(Unpool(*c), 256, c->threads, memory);
}

extern "C" size_t stylewatch_gram(const Product* p, char* memory) {
  GramParts parts(*p);
  const size_t own = parts.sum_count() * sizeof(float);
  if (!memory) return own + run(parts, 1, p->threads, nullptr);
  parts.sums = reinterpret_cast<float*>(memory);
  run(parts, 1, p->threads, memory + own);
  parts.sum();
  return 0;
}

extern "C" size_t stylewatch_multiply(const Product* p, char* memory) {
  InPlace product(*p);
  const size_t own = product.panel_count() * sizeof(float);
  if (!memory) return own + run(product, 256, p->threads, nullptr);
  product.panels = reinterpret_cast<float*>(memory);
  product.pack();
  run(product, 256, p->threads, memory + own);
  return 0;
}
