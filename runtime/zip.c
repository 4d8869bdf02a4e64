/* runtime/zip.c: members of ZIP archives, stored or deflated.
 *
 * in: an archive in memory (APPNOTE.TXT 6.3), the name of a member     out: its content
 * The central directory at the end says where the members are. Nothing that the archive says of
 * sizes is believed before it is compared with what is there; the check sum is compared too.
 */
#include "runtime/private.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef struct Zip {
    Loader *loader;
    const char *path;
    const unsigned char *data;
    uint64_t size;
} Zip;

typedef struct Member {
    uint64_t packed, size, header; /* header: where its local header is */
    uint32_t crc;
    unsigned method, flags;
} Member;

static uint64_t number(const Zip *zip, uint64_t at, int bytes) {
    uint64_t value = 0;
    for (int i = bytes; i-- > 0;) value = value << 8 | zip->data[at + (uint64_t)i];
    return value;
}

static bool fail(const Zip *zip, const char *message) {
    return error_set(zip->loader->error, (Place){.path = zip->path}, "%s", message);
}

/* Is there room for `bytes` at `at`? */
static bool inside(const Zip *zip, uint64_t at, uint64_t bytes) {
    return at <= zip->size && bytes <= zip->size - at;
}

/* The central directory: where it begins, and how many entries it has. */
static bool find_directory(const Zip *zip, uint64_t *at, uint64_t *entries) {
    for (uint64_t back = 22; back <= zip->size && back < 22 + 65536; back++) {
        uint64_t end = zip->size - back;
        if (number(zip, end, 4) != 0x06054b50) continue;
        *entries = number(zip, end + 10, 2);
        *at = number(zip, end + 16, 4);
        /* The 64-bit form, which numpy writes for large archives. */
        if (end >= 20 && number(zip, end - 20, 4) == 0x07064b50) {
            uint64_t big = number(zip, end - 12, 8);
            if (!inside(zip, big, 56) || number(zip, big, 4) != 0x06064b50)
                return fail(zip, "this archive is damaged: its 64-bit directory is not there");
            *entries = number(zip, big + 32, 8);
            *at = number(zip, big + 48, 8);
        }
        return true;
    }
    return fail(zip, "this is no ZIP archive (.npz), or it is cut off: it has no directory at its "
                     "end");
}

/* Sizes of more than 32 bits are in an extra field. */
static void read_extra(const Zip *zip, uint64_t at, uint64_t length, Member *m) {
    for (uint64_t next; length >= 4; length -= next - at, at = next) {
        uint64_t size = number(zip, at + 2, 2);
        next = at + 4 + size;
        if (size > length - 4) return;
        if (number(zip, at, 2) != 1) continue;
        uint64_t value = at + 4;
        uint64_t *fields[] = {&m->size, &m->packed, &m->header};
        for (int i = 0; i < 3; i++)
            if (*fields[i] == 0xFFFFFFFF && value + 8 <= next) {
                *fields[i] = number(zip, value, 8);
                value += 8;
            }
    }
}

/* Finds NAME or NAME + ending. */
static bool find_member(const Zip *zip, const char *name, const char *ending, Member *m) {
    uint64_t at = 0, entries = 0, length = strlen(name), more = strlen(ending);
    char known[256] = "";
    size_t used = 0;
    if (!find_directory(zip, &at, &entries)) return false;
    for (uint64_t i = 0; i < entries; i++) {
        if (!inside(zip, at, 46) || number(zip, at, 4) != 0x02014b50)
            return fail(zip, "this archive is damaged: its directory is cut off");
        uint64_t letters = number(zip, at + 28, 2), extra = number(zip, at + 30, 2);
        uint64_t comment = number(zip, at + 32, 2);
        if (!inside(zip, at + 46, letters + extra + comment))
            return fail(zip, "this archive is damaged: its directory is cut off");
        const char *text = (const char *)zip->data + at + 46;
        bool whole = letters == length ||
                     (letters == length + more && memcmp(text + length, ending, more) == 0);
        if (whole && memcmp(text, name, length) == 0) {
            *m = (Member){.flags = (unsigned)number(zip, at + 8, 2),
                          .method = (unsigned)number(zip, at + 10, 2),
                          .crc = (uint32_t)number(zip, at + 16, 4),
                          .packed = number(zip, at + 20, 4),
                          .size = number(zip, at + 24, 4),
                          .header = number(zip, at + 42, 4)};
            read_extra(zip, at + 46 + letters, extra, m);
            return true;
        }
        if (used + letters + 3 < sizeof known && !memchr(text, 0, letters))
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%.*s", i ? ", " : "",
                                     (int)letters, text);
        at += 46 + letters + extra + comment;
    }
    return error_set(zip->loader->error, (Place){.path = zip->path},
                     "there is no array `%s` in this archive; it has %s", error_quote(name).text,
                     used ? error_quote(known).text : "none");
}

/* Inflates from, packed bytes, to exactly `size` bytes. */
static bool unpack(const unsigned char *from, uint64_t packed, unsigned char *to, uint64_t size) {
    z_stream stream = {0};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return false;
    int code = Z_OK;
    while (code == Z_OK) {
        uInt in = packed > 1 << 30 ? 1 << 30 : (uInt)packed;
        uInt out = size > 1 << 30 ? 1 << 30 : (uInt)size;
        stream.next_in = (Bytef *)from, stream.avail_in = in;
        stream.next_out = to, stream.avail_out = out;
        code = inflate(&stream, Z_NO_FLUSH);
        uInt read = in - stream.avail_in, wrote = out - stream.avail_out;
        from += read, packed -= read;
        to += wrote, size -= wrote;
        if (code == Z_OK && read == 0 && wrote == 0) break;
    }
    inflateEnd(&stream);
    return code == Z_STREAM_END && size == 0;
}

static uint32_t check_sum(const unsigned char *data, uint64_t size) {
    uLong crc = crc32(0, NULL, 0);
    while (size) {
        uInt n = size > 1 << 30 ? 1 << 30 : (uInt)size;
        crc = crc32(crc, data, n);
        data += n, size -= n;
    }
    return (uint32_t)crc;
}

static bool read_member(const Zip *zip, const char *name, const Member *m, Bytes *bytes) {
    Place place = {.path = zip->path};
    DlrtError *error = zip->loader->error;
    if (!inside(zip, m->header, 30) || number(zip, m->header, 4) != 0x04034b50)
        return error_set(error, place, "this archive is damaged: `%s` is not where it says",
                         error_quote(name).text);
    uint64_t begin =
        m->header + 30 + number(zip, m->header + 26, 2) + number(zip, m->header + 28, 2);
    if (!inside(zip, begin, m->packed))
        return error_set(error, place, "this archive is cut off within `%s`",
                         error_quote(name).text);
    if ((m->flags & 1) || (m->method != 0 && m->method != 8))
        return error_set(error, place, "`%s` is %s: only stored and deflated members can be read",
                         error_quote(name).text, m->flags & 1 ? "encrypted" : "packed otherwise");
    /* Deflate makes at most 1032 bytes of one. */
    bool possible = m->method ? m->size / 1033 <= m->packed : m->size == m->packed;
    unsigned char *data = NULL;
    if (possible) {
        data = pool_take(&zip->loader->pool, (int64_t)m->size + 1, 1);
        if (!data) return error_memory(error, "an array");
        if (m->method == 0)
            memcpy(data, zip->data + begin, m->size);
        else
            possible = unpack(zip->data + begin, m->packed, data, m->size);
    }
    if (!possible || check_sum(data, m->size) != m->crc)
        return error_set(error, place,
                         "this archive is damaged: `%s` is not what its check sum says",
                         error_quote(name).text);
    *bytes = (Bytes){data, m->size};
    return true;
}

bool zip_member(Loader *loader, const char *path, const Bytes *archive, const char *name,
                const char *ending, Bytes *bytes) {
    Zip zip = {loader, path, archive->data, archive->size};
    Member member = {0};
    return find_member(&zip, name, ending, &member) && read_member(&zip, name, &member, bytes);
}
