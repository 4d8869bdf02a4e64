/* tests/unit/npy.c: NumPy arrays, alone and in archives: types, orders, damage. */
#include "data.h"

#include "runtime/private.h"

#include <zlib.h>

/* x[2, 3] from x.npy or the archive, and y: class(4) from y.npy. */
typedef struct Case {
    const char *reader, *path, *member;
    int64_t classes;
    DlrtError error;
} Case;

static DlrtData *open_case(Case *c) {
    DlrtPort inputs[] = {test_port("x", DIMS(2, 3), c->classes)};
    DlrtPort targets[] = {test_port("y", SCALAR, 4)};
    bool archive = c->reader && strcmp(c->reader, "npz") == 0;
    DlrtModel model = {.name = "m",
                       .real_bytes = 4,
                       .max_batch = 4,
                       .ninputs = 1,
                       .ntargets = 1,
                       .inputs = inputs,
                       .targets = targets};
    DlrtArgument arguments[] = {{.kind = DLRT_STRING, .string = archive ? "a.npz" : "x.npy"},
                                {.kind = DLRT_STRING, .string = "y.npy"}};
    if (archive)
        arguments[1] = (DlrtArgument){.name = "x", .kind = DLRT_STRING, .string = c->member};
    DlrtSource source = {.is_split = true,
                         .reader = archive ? "npz" : "npy",
                         .nargs = archive && !c->member ? 1 : 2,
                         .args = arguments};
    DlrtDataSpec spec = {.name = "d", .folder = test_folder, .nsources = 1, .sources = &source};
    return dlrt_data_open(&spec, &model, c->path, 1, &c->error);
}

/* ---- files ----------------------------------------------------------------------------------- */

typedef struct File {
    unsigned char bytes[8192];
    size_t size;
} File;

static void put(File *f, const void *bytes, size_t size) {
    memcpy(f->bytes + f->size, bytes, size);
    f->size += size;
}

static void put_number(File *f, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) f->bytes[f->size++] = (unsigned char)(value >> (8 * i));
}

static File begin(int version, const char *header) {
    File f = {.size = 0};
    put(&f, "\x93NUMPY", 6);
    put_number(&f, (uint64_t)version, 2);
    put_number(&f, strlen(header), version == 1 ? 2 : 4);
    put(&f, header, strlen(header));
    return f;
}

static void write_file(const char *name, const File *f) {
    test_write(name, f->bytes, f->size);
}

/* The labels 0 1 2. */
static void write_labels(void) {
    File f = begin(1, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }   \n");
    for (uint64_t i = 0; i < 3; i++) put_number(&f, i, 8);
    write_file("y.npy", &f);
}

/* Three examples of 2 x 3 whose values are `of(0)`, `of(1)`, … */
static File array_of(const char *type, int size, uint64_t (*of)(int i)) {
    char header[128];
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (3, 2, 3)}",
             type);
    File f = begin(1, header);
    for (int i = 0; i < 18; i++) {
        uint64_t bits = of(i);
        for (int b = 0; b < size; b++)
            f.bytes[f.size++] = (unsigned char)(bits >> (8 * (type[0] == '>' ? size - 1 - b : b)));
    }
    return f;
}

static uint64_t whole(int i) {
    return (uint64_t)i;
}

static uint64_t negative(int i) {
    return (uint64_t)(int64_t)-i;
}

static uint64_t truth(int i) {
    return (uint64_t)i % 2;
}

/* i / 2 as a float of 2, 4 or 8 bytes. */
static uint64_t half(int i) {
    int power = 0;
    if (i == 0) return 0;
    while (i >> (power + 1)) power++;
    return (uint64_t)(power - 1 + 15) << 10 | ((uint64_t)(i - (1 << power)) << (10 - power));
}

static uint64_t single(int i) {
    float value = (float)i / 2;
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static uint64_t dual(int i) {
    double value = (double)i / 2;
    uint64_t bits;
    memcpy(&bits, &value, 8);
    return bits;
}

static float value_of(const DlrtData *data, int i) {
    return ((const float *)dlrt_data_example(data, DLRT_TRAIN, 0, i / 6))[i % 6];
}

static void test_types(void) {
    static const struct {
        const char *type;
        int size;
        uint64_t (*of)(int i);
        double factor;
    } types[] = {
        {"|u1", 1, whole, 1},     {"<u2", 2, whole, 1},     {">u2", 2, whole, 1},
        {"<u4", 4, whole, 1},     {">u8", 8, whole, 1},     {"|i1", 1, negative, -1},
        {"<i2", 2, negative, -1}, {">i2", 2, negative, -1}, {"<i4", 4, negative, -1},
        {">i4", 4, negative, -1}, {"<i8", 8, negative, -1}, {"=i8", 8, negative, -1},
        {"<f2", 2, half, 0.5},    {">f2", 2, half, 0.5},    {"<f4", 4, single, 0.5},
        {">f4", 4, single, 0.5},  {"<f8", 8, dual, 0.5},    {">f8", 8, dual, 0.5},
    };
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        Case c = {0};
        File f = array_of(types[t].type, types[t].size, types[t].of);
        write_file("x.npy", &f);
        DlrtData *data = open_case(&c);
        EXPECT_STR(c.error.message, "");
        for (int i = 0; data && i < 18; i++) EXPECT_NEAR(value_of(data, i), types[t].factor * i, 0);
        for (int i = 0; data && i < 3; i++)
            EXPECT_INT(*(const int32_t *)dlrt_data_example(data, DLRT_TRAIN, 1, i), i);
        dlrt_data_close(data);
    }
    Case c = {.classes = 2};
    File f = array_of("|b1", 1, truth);
    write_file("x.npy", &f);
    DlrtData *data = open_case(&c);
    EXPECT_INT(((const int32_t *)dlrt_data_example(data, DLRT_TRAIN, 0, 0))[5], 1);
    dlrt_data_close(data);
}

/* Value 100 r + 10 i + j at [r, i, j]; in Fortran order the first index runs fastest. */
static void test_orders(void) {
    for (int version = 1; version <= 3; version++) {
        Case c = {0};
        File f = begin(version, "{ \"shape\":(3,2,3,), 'fortran_order':True,\"descr\":'<i4'}");
        for (uint64_t j = 0; j < 3; j++)
            for (uint64_t i = 0; i < 2; i++)
                for (uint64_t r = 0; r < 3; r++) put_number(&f, 100 * r + 10 * i + j, 4);
        write_file("x.npy", &f);
        DlrtData *data = open_case(&c);
        EXPECT_STR(c.error.message, "");
        for (int r = 0; data && r < 3; r++)
            for (int e = 0; e < 6; e++)
                EXPECT_NEAR(value_of(data, 6 * r + e), 100 * r + 10 * (e / 3) + e % 3, 0);
        dlrt_data_close(data);
    }
}

/* ---- what is refused ----------------------------------------------------------------------------
 */

static void refused(Case c, const File *f, const char *part) {
    write_file(c.reader ? "a.npz" : "x.npy", f);
    EXPECT(open_case(&c) == NULL);
    EXPECT_ERROR(c.error, part);
}

static void refused_header(const char *header, const char *part) {
    File f = begin(1, header);
    for (int i = 0; i < 18; i++) put_number(&f, 0, 4);
    refused((Case){0}, &f, part);
}

static void test_headers(void) {
    static const char *const damaged[] = {
        "",
        "{",
        "{}",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'shape': (3, 2, 3)}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (3, 2, 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, -2, 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 3}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 3), 'more': 1}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '<f4, 'fortran_order': False, 'shape': (3, 2, 3)}",
    };
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++)
        refused_header(damaged[i], "the header of this NumPy array is damaged");
    refused_header("{'descr': '<c8', 'fortran_order': False, 'shape': (3,)}", "the type `<c8`");
    refused_header("{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", "the type `|O`");
    refused_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 2, 3)}",
                   "the file is cut off: 4 x 2 x 3 values take 96 bytes, found 72");
    refused_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 3)}",
                   "the file is longer than its header says");
    refused_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 6, 2)}",
                   "an example here has 12 numbers (the array is 3 x 6 x 2), but `x` takes 6 (2 x "
                   "3)");
    refused_header("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 6)}",
                   "holds no examples");
    refused_header("{'descr': '<f8', 'fortran_order': False, "
                   "'shape': (400000000000000000, 400000000000000000)}",
                   "more than can be read");
    File f = begin(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 3)}");
    f.bytes[6] = 4;
    refused((Case){0}, &f, "this NumPy array has the format version 4");
    f.bytes[6] = 1, f.bytes[9] = 255;
    refused((Case){0}, &f, "the file ends within its header");
    f.bytes[0] = 0x92;
    refused((Case){0}, &f, "this is no NumPy array");
    f.size = 3;
    refused((Case){0}, &f, "this is no NumPy array");
}

static uint64_t not_a_number(int i) {
    return i == 7 ? 0x7E00 : 0;
}

static void test_values(void) {
    File f = array_of("<f2", 2, not_a_number);
    refused((Case){0}, &f, "example 2 has a value that is not a finite number");
    f = array_of("|u1", 1, whole);
    refused((Case){.classes = 17}, &f, "example 3 has class 17, but `x` takes classes 0 to 16");
    f = array_of("|i1", 1, negative);
    refused((Case){.classes = 17}, &f, "example 1 has class -1");
}

/* ---- archives
 * ------------------------------------------------------------------------------------ */

typedef struct Archive {
    File file, directory;
    int count;
} Archive;

static void add_member(Archive *a, const char *name, const File *content, bool deflated) {
    static unsigned char packed[8192];
    z_stream stream = {.next_in = (Bytef *)content->bytes, .avail_in = (uInt)content->size};
    uint64_t at = a->file.size, size = content->size;
    const unsigned char *bytes = content->bytes;
    if (deflated) {
        stream.next_out = packed, stream.avail_out = sizeof packed;
        deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
        deflate(&stream, Z_FINISH);
        size = stream.total_out;
        bytes = packed;
        deflateEnd(&stream);
    }
    uint64_t crc = crc32(0, content->bytes, (uInt)content->size);
    File common = {.size = 0};
    put_number(&common, 20, 2);
    put_number(&common, 0, 2);
    put_number(&common, deflated ? 8 : 0, 2);
    put_number(&common, 0, 4);
    put_number(&common, crc, 4);
    put_number(&common, size, 4);
    put_number(&common, content->size, 4);
    put_number(&common, strlen(name), 2);
    put_number(&common, 0, 2);
    put_number(&a->file, 0x04034b50, 4);
    put(&a->file, common.bytes, common.size);
    put(&a->file, name, strlen(name));
    put(&a->file, bytes, size);
    put_number(&a->directory, 0x02014b50, 4);
    put_number(&a->directory, 20, 2);
    put(&a->directory, common.bytes, common.size);
    put_number(&a->directory, 0, 8);
    put_number(&a->directory, 0, 2);
    put_number(&a->directory, at, 4);
    put(&a->directory, name, strlen(name));
    a->count++;
}

static File archive_end(Archive *a) {
    uint64_t at = a->file.size;
    put(&a->file, a->directory.bytes, a->directory.size);
    put_number(&a->file, 0x06054b50, 4);
    put_number(&a->file, 0, 4);
    put_number(&a->file, (uint64_t)a->count, 2);
    put_number(&a->file, (uint64_t)a->count, 2);
    put_number(&a->file, a->directory.size, 4);
    put_number(&a->file, at, 4);
    put_number(&a->file, 0, 2);
    return a->file;
}

static File make_archive(bool deflated) {
    static Archive a;
    a = (Archive){.count = 0};
    File x = array_of("<f4", 4, single);
    File y = begin(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (3,)}");
    put(&y, "\0\1\2", 3);
    add_member(&a, "x.npy", &x, deflated);
    add_member(&a, "x_other.npy", &x, deflated);
    add_member(&a, "y.npy", &y, deflated);
    return archive_end(&a);
}

static void test_archives(void) {
    for (int deflated = 0; deflated < 2; deflated++) {
        File f = make_archive(deflated);
        write_file("a.npz", &f);
        static const char *const members[] = {NULL, "x", "x_other", "x_other.npy"};
        for (int i = 0; i < 4; i++) {
            Case c = {.reader = "npz", .member = members[i]};
            DlrtData *data = open_case(&c);
            EXPECT_STR(c.error.message, "");
            for (int k = 0; data && k < 18; k++) EXPECT_NEAR(value_of(data, k), 0.5 * k, 0);
            dlrt_data_close(data);
        }
    }
}

/* Whatever byte is damaged and wherever the file ends: an error, or the very same values. */
static void test_archive_damage(void) {
    for (int deflated = 0; deflated < 2; deflated++) {
        File whole_file = make_archive(deflated);
        for (size_t i = 0; i < whole_file.size; i++) {
            Case c = {.reader = "npz"};
            File f = whole_file;
            f.bytes[i] ^= (unsigned char)(1 << (i % 8));
            write_file("a.npz", &f);
            DlrtData *data = open_case(&c);
            EXPECT(data || c.error.message[0]);
            for (int k = 0; data && k < 18; k++) EXPECT_NEAR(value_of(data, k), 0.5 * k, 0);
            dlrt_data_close(data);
        }
        for (size_t n = 0; n < whole_file.size; n += 3) {
            Case c = {.reader = "npz"};
            File f = whole_file;
            f.size = n;
            refused(c, &f, "this is no ZIP archive (.npz), or it is cut off");
        }
    }
    File f = make_archive(true);
    refused((Case){.reader = "npz", .member = "z"}, &f,
            "there is no array `z` in this archive; it "
            "has x.npy, x_other.npy, y.npy");
}

/* What the directory says of the first member, changed. */
static void refused_entry(size_t field, unsigned char value, const char *part) {
    File f = make_archive(true);
    size_t at = f.bytes[f.size - 6] | (size_t)f.bytes[f.size - 5] << 8;
    f.bytes[at + field] = value;
    refused((Case){.reader = "npz"}, &f, part);
}

static void test_entries(void) {
    refused_entry(8, 1, "`x` is encrypted: only stored and deflated members can be read");
    refused_entry(10, 14, "`x` is packed otherwise: only stored and deflated members can be read");
    refused_entry(16, 99, "this archive is damaged: `x` is not what its check sum says");
    refused_entry(24, 255, "this archive is damaged: `x` is not what its check sum says");
    refused_entry(27, 255, "this archive is damaged: `x` is not what its check sum says");
    refused_entry(23, 255, "this archive is cut off within `x`");
    refused_entry(42, 3, "this archive is damaged: `x` is not where it says");
    refused_entry(0, 0, "this archive is damaged: its directory is cut off");
}

/* ---- real files
 * ------------------------------------------------------------------------------------ */

/* Sum of a port over all examples, from an array in the folder. */
static double sum_of(const char *folder, const char *reader, DlrtArgument first, int64_t elements,
                     int64_t *count) {
    const int64_t dims[] = {elements, 0};
    char path[512];
    snprintf(path, sizeof path, "%s/numpy", folder);
    DlrtPort x = test_port("x", dims, 0);
    DlrtModel model = {.name = "m", .real_bytes = 4, .max_batch = 4, .ninputs = 1, .inputs = &x};
    DlrtArgument args[] = {{.kind = DLRT_STRING, .string = first.string}, first};
    if (first.name) args[0].string = "digits_deflated.npz";
    DlrtSource source = {
        .is_split = true, .reader = reader, .nargs = first.name ? 2 : 1, .args = args};
    DlrtDataSpec spec = {.name = "d", .nsources = 1, .sources = &source};
    DlrtError error;
    DlrtData *data = dlrt_data_open(&spec, &model, path, 1, &error);
    EXPECT_STR(error.message, "");
    if (!data) return NAN;
    double sum = 0;
    *count = dlrt_data_count(data, DLRT_TRAIN);
    for (int64_t i = 0; i < *count; i++) {
        const float *values = dlrt_data_example(data, DLRT_TRAIN, 0, i);
        for (int64_t e = 0; e < elements; e++) sum += values[e] * (double)(e % 7 + 1);
    }
    dlrt_data_close(data);
    return sum;
}

/* The same digits in all types and orders. */
static void test_real(const char *folder) {
    static const struct {
        const char *name;
        double factor;
    } files[] = {{"digits_x_u8.npy", 1},
                 {"digits_x_f32.npy", 16},
                 {"digits_x_f64_fortran.npy", 1},
                 {"digits_x_f16.npy", 16}};
    double sums[4];
    int64_t count;
    for (int i = 0; i < 4; i++) {
        sums[i] = sum_of(folder, "npy", (DlrtArgument){.string = files[i].name}, 64, &count);
        EXPECT_INT(count, 1797);
        if (i) EXPECT_NEAR(sums[i] * files[i].factor / files[0].factor, sums[0], 1e-6 * sums[0]);
    }
    EXPECT_NEAR(sums[0], 2318371, 0); /* of digits.csv */
    static const char *const labels[] = {"digits_y_i64.npy", "digits_y_i32_be.npy"};
    for (int i = 0; i < 2; i++)
        EXPECT_NEAR(sum_of(folder, "npy", (DlrtArgument){.string = labels[i]}, 1, &count), 8070, 0);
    double train =
        sum_of(folder, "npz", (DlrtArgument){.name = "x", .kind = DLRT_STRING, .string = "x_train"},
               64, &count);
    EXPECT_INT(count, 1437);
    double test =
        sum_of(folder, "npz", (DlrtArgument){.name = "x", .kind = DLRT_STRING, .string = "x_test"},
               64, &count);
    EXPECT_INT(count, 360);
    double all = train + test;
    EXPECT(fabs(all - sums[0]) < 1e-6 * sums[0] || fabs(16 * all - sums[0]) < 1e-5 * sums[0]);
}

int main(void) {
    test_folder_begin();
    write_labels();
    test_types();
    test_orders();
    test_headers();
    test_values();
    test_archives();
    test_archive_damage();
    test_entries();
    const char *folder = test_data();
    if (folder) test_real(folder);
    test_folder_end();
    TEST_END();
}
