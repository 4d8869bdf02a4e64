/* driver/expect.c: `dlc check --verify`: a file that says which messages it gives.
 *
 *     h = x -> dense(-1)     # expect-error {{at least 1}}
 *     # expect-note@-1 {{…}}, expect-warning@+2 {{…}}, expect-help {{…}}
 *
 * Every message must be expected at its line, with the text between the braces inside it, and every
 * expectation met. With --split the parts between lines `# -----` are checked as files of their
 * own. A help without a place counts at the line of its error.
 */
#include "driver/driver.h"

#include <stdlib.h>
#include <string.h>

typedef struct Expectation {
    DlcSeverity severity;
    unsigned line;
    char *text;
    bool met;
} Expectation;

typedef struct Part {
    const char *path;
    unsigned first_line; /* of the part in the file, from 0 */
    Expectation *expectations;
    size_t n;
    unsigned failures;
} Part;

static const char *const words[] = {"error", "warning", "note", "help"};

/* Parses one `expect-…` at p, which stands in `line`. Returns the place behind it, or NULL. */
static const char *parse_expectation(Part *part, const char *p, unsigned line) {
    for (int s = 0; s < 4; s++) {
        size_t length = strlen(words[s]);
        if (strncmp(p, words[s], length) != 0) continue;
        p += length;
        long offset = 0;
        if (*p == '@') offset = strtol(p + 1, (char **)&p, 10);
        const char *open = strstr(p, "{{"), *close = open ? strstr(open, "}}") : NULL;
        if (!close) return NULL;
        Expectation *grown = realloc(part->expectations, (part->n + 1) * sizeof *grown);
        if (!grown) return NULL;
        part->expectations = grown;
        grown[part->n++] = (Expectation){.severity = (DlcSeverity)s,
                                         .line = (unsigned)((long)line + offset),
                                         .text = strndup(open + 2, (size_t)(close - open - 2))};
        return close + 2;
    }
    return NULL;
}

static void find_expectations(Part *part, const char *text) {
    unsigned line = 1;
    for (const char *p = text; *p;) {
        if (*p == '\n') line++;
        if (strncmp(p, "expect-", 7) == 0) {
            const char *after = parse_expectation(part, p + 7, line);
            if (!after) {
                fprintf(stderr, "%s:%u: malformed expectation\n", part->path,
                        part->first_line + line);
                part->failures++;
            }
            p = after ? after : p + 7;
            continue;
        }
        p++;
    }
}

static void match(Part *part, const DlcMessage *message, unsigned line) {
    for (size_t i = 0; i < part->n; i++) {
        Expectation *e = &part->expectations[i];
        if (e->met || e->severity != message->severity || e->line != line ||
            !strstr(message->text, e->text))
            continue;
        e->met = true;
        return;
    }
    /* Notes and helps may be left unsaid. */
    if (message->severity == DLC_NOTE || message->severity == DLC_HELP) return;
    fprintf(stderr, "%s:%u: unexpected %s: %s\n", part->path, part->first_line + line,
            words[message->severity], message->text);
    part->failures++;
}

static unsigned check_part(const char *path, unsigned first_line, const char *text) {
    Part part = {.path = path, .first_line = first_line};
    Dlc *dlc = dlc_open();
    if (!dlc) return 1;
    find_expectations(&part, text);
    if (dlc_load_text(dlc, path, text)) dlc_check(dlc);
    const DlcMessage *messages;
    size_t n = dlc_messages(dlc, &messages);
    unsigned line = 0; /* of the error or warning that notes and helps belong to */
    for (size_t i = 0; i < n; i++) {
        bool is_attached = messages[i].severity == DLC_NOTE || messages[i].severity == DLC_HELP;
        if (!is_attached) line = messages[i].line;
        match(&part, &messages[i], messages[i].line ? messages[i].line : line);
    }
    for (size_t i = 0; i < part.n; i++) {
        Expectation *e = &part.expectations[i];
        if (!e->met) {
            fprintf(stderr, "%s:%u: missing %s: %s\n", path, first_line + e->line,
                    words[e->severity], e->text);
            part.failures++;
        }
        free(e->text);
    }
    free(part.expectations);
    dlc_close(dlc);
    return part.failures;
}

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    size_t length = 0, room = 1 << 16;
    char *text = malloc(room);
    while (text) {
        length += fread(text + length, 1, room - length - 1, file);
        if (length < room - 1) break;
        char *grown = realloc(text, room *= 2);
        if (!grown) free(text);
        text = grown;
    }
    if (text) text[length] = 0;
    fclose(file);
    return text;
}

static const char *next_split(const char *text) {
    const char *at = strstr(text, "\n# -----");
    return at ? at + 1 : NULL;
}

int run_expect(const Options *options) {
    char *text = read_file(options->file);
    if (!text) {
        perror(options->file);
        return EXIT_WRONG;
    }
    unsigned failures = 0, line = 0;
    for (char *part = text; part;) {
        char *end = options->split ? (char *)next_split(part) : NULL;
        char saved = end ? *end : 0;
        if (end) *end = 0;
        failures += check_part(options->file, line, part);
        for (const char *p = part; *p; p++) line += *p == '\n';
        if (end) *end = saved;
        /* The next part begins behind the separator's own line, so that one is never an empty loop.
         */
        part = end ? strchr(end, '\n') : NULL;
        if (part) part++, line++;
    }
    free(text);
    return failures ? EXIT_WRONG : EXIT_GOOD;
}
