// The yardstick: plain C for the work that the benchmarks do in JavaScript, built with gcc -O2 by harness.ts.
//
// Commands come on standard input, one a line, and each is answered by one line:
//   load SLOT PATH          reads a file into memory; answers its size
//   run CASE TIMES ARGS...  does the work TIMES times; answers nanoseconds and a checksum of the last result
// The checksum is worked out after the clock stopped. It makes the compiler keep the work, and shows that both sides
// did the same.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct slot {
	uint8_t *bytes;
	size_t size;
};

static struct slot slots[16];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static uint32_t mix(uint32_t h, uint32_t v)
{
	return (h ^ v) * 0x01000193u;
}

static void *need(void *memory)
{
	if (!memory) {
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	return memory;
}

// --- decode: a dump with build IDs into columns, IDs interned ---

struct columns {
	uint32_t *ids, *first, *lo, *hi;
	int32_t *id_index;
	uint8_t *status;
	size_t stacks, rows, max_stacks, max_rows;
};

struct id_table {
	uint32_t *index, *rows;
	uint32_t count, capacity, shift;
};

static uint32_t intern(struct id_table *t, const uint32_t *id)
{
	uint32_t mask = (1u << (32 - t->shift)) - 1;
	uint32_t slot = (id[0] * 0x9e3779b1u) >> t->shift;

	for (; t->index[slot]; slot = (slot + 1) & mask) {
		const uint32_t *row = t->rows + 5 * (size_t)t->index[slot];

		if (!((row[0] ^ id[0]) | (row[1] ^ id[1]) | (row[2] ^ id[2]) | (row[3] ^ id[3]) | (row[4] ^ id[4])))
			return t->index[slot] - 1;
	}
	if (++t->count == t->capacity) {
		t->capacity *= 2;
		t->rows = need(realloc(t->rows, (size_t)t->capacity * 20));
	}
	memcpy(t->rows + 5 * (size_t)t->count, id, 20);
	if (8 * t->count <= mask) {
		t->index[slot] = t->count;
		return t->count - 1;
	}
	t->shift--;
	mask = 2 * mask + 1;
	free(t->index);
	t->index = need(calloc(mask + 1, 4));
	for (uint32_t i = 1; i <= t->count; i++) {
		slot = (t->rows[5 * (size_t)i] * 0x9e3779b1u) >> t->shift;
		while (t->index[slot])
			slot = (slot + 1) & mask;
		t->index[slot] = i;
	}
	return t->count - 1;
}

static void reserve(struct columns *c, size_t stacks, size_t rows)
{
	if (stacks <= c->max_stacks && rows <= c->max_rows)
		return;
	c->max_stacks = stacks;
	c->max_rows = rows;
	c->ids = need(realloc(c->ids, 4 * stacks));
	c->first = need(realloc(c->first, 4 * (stacks + 1)));
	c->lo = need(realloc(c->lo, 4 * rows));
	c->hi = need(realloc(c->hi, 4 * rows));
	c->id_index = need(realloc(c->id_index, 4 * rows));
	c->status = need(realloc(c->status, rows));
}

static void decode(struct columns *c, struct id_table *t, const struct slot *dump, size_t depth)
{
	size_t record = 4 + 32 * depth, stacks = dump->size / record, row = 0;

	reserve(c, stacks, stacks * depth);
	memset(t->index, 0, (size_t)4 << (32 - t->shift));
	t->count = 0;
	for (size_t s = 0; s < stacks; s++) {
		const uint32_t *w = (const uint32_t *)(dump->bytes + s * record), *end = w + 1 + 8 * depth;

		c->ids[s] = *w++;
		c->first[s] = row;
		for (; w < end && w[0]; w += 8, row++) {
			c->status[row] = w[0];
			c->lo[row] = w[6];
			c->hi[row] = w[7];
			c->id_index[row] = w[0] == 2 ? -1 : (int32_t)intern(t, w + 1);
		}
	}
	c->first[stacks] = row;
	c->stacks = stacks;
	c->rows = row;
}

static uint32_t columns_sum(const struct columns *c)
{
	uint32_t h = 0;

	for (size_t s = 0; s < c->stacks; s++)
		h = mix(mix(h, c->ids[s]), c->first[s + 1]);
	for (size_t r = 0; r < c->rows; r++)
		h = mix(mix(mix(mix(h, c->status[r]), c->id_index[r]), c->lo[r]), c->hi[r]);
	return h;
}

// --- jhash2 ---

#define rol32(x, n) (((x) << (n)) | ((x) >> (32 - (n))))

static uint32_t jhash2(const uint32_t *k, uint32_t length, uint32_t initval)
{
	uint32_t a = 0xdeadbeef + (length << 2) + initval, b = a, c = a;

	for (; length > 3; length -= 3, k += 3) {
		a += k[0];
		b += k[1];
		c += k[2];
		a -= c; a ^= rol32(c, 4); c += b;
		b -= a; b ^= rol32(a, 6); a += c;
		c -= b; c ^= rol32(b, 8); b += a;
		a -= c; a ^= rol32(c, 16); c += b;
		b -= a; b ^= rol32(a, 19); a += c;
		c -= b; c ^= rol32(b, 4); b += a;
	}
	if (!length)
		return c;
	if (length == 3)
		c += k[2];
	if (length >= 2)
		b += k[1];
	a += k[0];
	c ^= b; c -= rol32(b, 14);
	a ^= c; a -= rol32(c, 11);
	b ^= a; b -= rol32(a, 25);
	c ^= b; c -= rol32(b, 16);
	a ^= c; a -= rol32(c, 4);
	b ^= a; b -= rol32(a, 14);
	c ^= b; c -= rol32(b, 24);
	return c;
}

// --- stack map: hash buckets over a freelist ---

#define BUCKETS 16384
#define FRAMES 20
#define FAST_CMP 0x200
#define REUSE 0x400

struct element {
	struct element *next;
	uint32_t hash, nr;
	uint64_t data[127];
};

struct stack_map {
	struct element *buckets[BUCKETS], *elements, *free;
};

static struct stack_map *new_map(void)
{
	struct stack_map *map = need(calloc(1, sizeof(*map)));

	map->elements = need(calloc(BUCKETS, sizeof(*map->elements)));
	for (int i = BUCKETS - 1; i >= 0; i--) {
		map->elements[i].next = map->free;
		map->free = map->elements + i;
	}
	return map;
}

static long get_stackid(struct stack_map *map, const uint64_t *ips, uint32_t nr, uint32_t flags)
{
	uint32_t hash = jhash2((const uint32_t *)ips, 2 * nr, 0), id = hash & (BUCKETS - 1);
	struct element *old = map->buckets[id], *new;
	int same = old && old->hash == hash;

	if (same && (flags & FAST_CMP))
		return id;
	if (same && old->nr == nr && !memcmp(old->data, ips, 8 * nr))
		return id;
	if (old && !(flags & REUSE))
		return -17;
	new = map->free;
	if (!new)
		return -12;
	map->free = new->next;
	memcpy(new->data, ips, 8 * nr);
	new->hash = hash;
	new->nr = nr;
	map->buckets[id] = new;
	if (old) {
		old->next = map->free;
		map->free = old;
	}
	return id;
}

// --- addresses to build-ID records ---

struct vma {
	uint64_t start, end, pgoff;
	uint8_t id[20];
	uint32_t unused;
};

struct record {
	int32_t status;
	uint8_t id[20];
	uint64_t offset;
};

static void translate(struct record *to, const uint64_t *ips, size_t nr, const struct vma *vmas, size_t count)
{
	const struct vma *previous = NULL;

	for (size_t i = 0; i < nr; i++) {
		uint64_t ip = ips[i];
		const struct vma *vma = previous;

		if (!vma || ip < vma->start || ip > vma->end) {
			size_t low = 0, high = count;

			while (low < high) {
				size_t middle = (low + high) / 2;

				if (vmas[middle].end > ip)
					high = middle;
				else
					low = middle + 1;
			}
			if (low == count) {
				memset(to + i, 0, sizeof(*to));
				to[i].status = 2;
				to[i].offset = ip;
				continue;
			}
			vma = vmas + low;
		}
		to[i].status = 1;
		memcpy(to[i].id, vma->id, 20);
		to[i].offset = (vma->pgoff << 12) + ip - vma->start;
		previous = vma;
	}
}

// --- address to symbol ---

static void symbols(int32_t *out, const uint64_t *starts, const uint32_t *sizes, size_t count, const uint64_t *at,
		    size_t lookups)
{
	for (size_t i = 0; i < lookups; i++) {
		const uint64_t *base = starts;
		size_t n = count;
		uint64_t address = at[i];

		while (n > 1) {
			size_t half = n / 2;

			base += half & -(size_t)(base[half] <= address); // no branch to mispredict
			n -= half;
		}
		out[i] = *base <= address && address - *base < sizes[base - starts] ? base - starts : -1;
	}
}

// --- commands ---

static uint32_t sum_words(const uint32_t *words, size_t count)
{
	uint32_t h = 0;

	for (size_t i = 0; i < count; i++)
		h = mix(h, words[i]);
	return h;
}

static double run(const char *name, int times, const long *args, uint32_t *sum)
{
	const struct slot *in = slots + args[0];
	double start;

	if (!strcmp(name, "decode") || !strcmp(name, "copy")) {
		static struct columns columns;
		static struct id_table table;
		static uint8_t *copy;
		static size_t copied;
		double end;

		if (!table.index) {
			table = (struct id_table){ .capacity = 1024, .shift = 20 };
			table.index = need(calloc(4096, 4));
			table.rows = need(malloc(1024 * 20));
		}
		if (*name == 'd') {
			start = now();
			for (int i = 0; i < times; i++)
				decode(&columns, &table, in, args[1]);
			end = now();
		} else {
			if (copied < in->size) {
				copied = in->size;
				copy = need(realloc(copy, copied));
				memset(copy, 1, copied);
			}
			start = now();
			for (int i = 0; i < times; i++) {
				memcpy(copy, in->bytes, in->size);
				__asm__ volatile("" : : "r"(copy) : "memory");
			}
			end = now();
			decode(&columns, &table, in, args[1]);
		}
		*sum = columns_sum(&columns);
		return end - start;
	}
	if (!strcmp(name, "jhash2")) {
		size_t frames = args[1], stacks = in->size / 8 / frames;
		uint32_t h = 0;

		start = now();
		for (int i = 0; i < times; i++) {
			h = 0;
			for (size_t s = 0; s < stacks; s++)
				h = (h ^ jhash2((uint32_t *)in->bytes + 2 * frames * s, 2 * frames, 0)) + 1;
		}
		*sum = h;
		return now() - start;
	}
	if (!strcmp(name, "getstackid")) {
		static struct stack_map *maps[4];
		struct stack_map **map = maps + args[2];
		uint32_t flags = args[1], h = 0;
		size_t stacks = in->size / 8 / FRAMES;

		if (!*map) {
			*map = new_map();
			for (size_t s = 0; s < stacks; s++)
				get_stackid(*map, (uint64_t *)in->bytes + FRAMES * s, FRAMES, 0);
		}
		start = now();
		for (int i = 0; i < times; i++) {
			h = 0;
			for (size_t s = 0; s < stacks; s++)
				h = (h ^ get_stackid(*map, (uint64_t *)in->bytes + FRAMES * s, FRAMES, flags)) + 1;
		}
		*sum = h;
		return now() - start;
	}
	if (!strcmp(name, "translate")) {
		static struct record *out;
		const struct slot *vmas = slots + args[1];
		size_t ips = in->size / 8;
		double end;

		if (!out)
			out = need(calloc(ips, sizeof(*out)));
		start = now();
		for (int i = 0; i < times; i++)
			for (size_t at = 0; at + FRAMES <= ips; at += FRAMES)
				translate(out + at, (uint64_t *)in->bytes + at, FRAMES, (struct vma *)vmas->bytes,
					  vmas->size / sizeof(struct vma));
		end = now();
		*sum = sum_words((uint32_t *)out, 8 * ips);
		return end - start;
	}
	if (!strcmp(name, "symbols")) {
		static int32_t *out;
		const struct slot *starts = slots + args[1], *sizes = slots + args[2];
		size_t lookups = in->size / 8;
		double end;

		if (!out)
			out = need(calloc(lookups, 4));
		start = now();
		for (int i = 0; i < times; i++)
			symbols(out, (uint64_t *)starts->bytes, (uint32_t *)sizes->bytes, starts->size / 8,
				(uint64_t *)in->bytes, lookups);
		end = now();
		*sum = sum_words((uint32_t *)out, lookups);
		return end - start;
	}
	fprintf(stderr, "no case %s\n", name);
	exit(1);
}

static void load(struct slot *slot, const char *path)
{
	FILE *file = fopen(path, "rb");

	if (!file || fseek(file, 0, SEEK_END)) {
		perror(path);
		exit(1);
	}
	slot->size = ftell(file);
	rewind(file);
	slot->bytes = need(malloc(slot->size));
	if (fread(slot->bytes, 1, slot->size, file) != slot->size) {
		perror(path);
		exit(1);
	}
	fclose(file);
}

int main(void)
{
	char line[4096];

	while (fgets(line, sizeof(line), stdin)) {
		char text[4000];
		int number, times;
		long args[4] = { 0 };
		uint32_t sum = 0;

		if (sscanf(line, "load %d %3999s", &number, text) == 2 && number >= 0 && number < 16) {
			load(slots + number, text);
			printf("%zu\n", slots[number].size);
		} else if (sscanf(line, "run %63s %d %ld %ld %ld", text, &times, args, args + 1, args + 2) >= 2) {
			double ns = run(text, times, args, &sum);

			printf("%.0f %u\n", ns, sum);
		} else {
			fprintf(stderr, "what is %s", line);
			return 1;
		}
		fflush(stdout);
	}
	return 0;
}
