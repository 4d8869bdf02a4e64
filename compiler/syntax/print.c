/* syntax/print.c: the canonical form of a file: lines, blank lines, columns, comments.
 *
 * A statement is written flat (flat.c) and broken where it is longer than LINE_WIDTH; a pipe keeps
 * the breaks it had. Neighbouring statements of a kind line up. Comments stay where they were: on
 * their own line, or behind what they stand behind; one inside a statement goes before it (in a
 * pipe, between its lines). Invariant: what is printed depends on nothing that printing changes, so
 * that printing twice changes nothing.
 */
#include "syntax/private.h"

#include <string.h>

enum { LINE_WIDTH = 100, INDENT = 4, MAX_LEFT = 32, MAX_ARROW = 40 };

/* A comment behind a line, moved to its column at the end. */
typedef struct Trailing {
    size_t at;             /* where it begins in the output */
    uint32_t line, column; /* the line it stands in, and how long that is without it */
} Trailing;

typedef struct Printer {
    Arena *arena;
    const Source *source; /* NULL: a tree alone, without comments and blank lines */
    const SyntaxFile *file;
    Text *out;
    uint32_t line, line_begin; /* of the output */
    uint32_t comment;          /* the next one to print */
    uint32_t last; /* the end, in the source, of what was printed last; 0 at the begin */
    Vec(Trailing) trailing;
} Printer;

/* ---- the source -------------------------------------------------------------------------------
 */

static const Comment *pending(const Printer *p, uint32_t before) {
    if (!p->file || p->comment >= p->file->comments.len) return NULL;
    const Comment *comment = &p->file->comments.at[p->comment];
    return comment->span.begin < before ? comment : NULL;
}

static char source_char(const Printer *p, uint32_t at) {
    return p->source->text[at - p->source->begin];
}

static bool blank_line_between(const Printer *p, uint32_t from, uint32_t to) {
    bool empty = false;
    for (uint32_t i = from; p->source && from && i < to; i++) {
        char c = source_char(p, i);
        if (c == '\n' && empty) return true;
        if (c == '\n')
            empty = true;
        else if (c != ' ' && c != '\t' && c != '\r' && c != ';')
            empty = false;
    }
    return false;
}

/* Nothing but separators between the end of something and a comment: the comment belongs to it. */
static bool stands_behind(const Printer *p, uint32_t end, const Comment *comment) {
    if (comment->alone || comment->span.begin < end) return false;
    for (uint32_t i = end; i < comment->span.begin; i++)
        if (!strchr(" \t;,", source_char(p, i))) return false;
    return true;
}

/* ---- output -------------------------------------------------------------------------------------
 */

static void end_line(Printer *p) {
    text_put(p->out, "\n");
    p->line++;
    p->line_begin = (uint32_t)p->out->len;
}

static void put_spaces(Printer *p, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) text_put(p->out, " ");
}

static void put_comment(Printer *p, const Comment *comment) {
    uint32_t end = comment->span.end;
    while (end > comment->span.begin && strchr(" \t\r", source_char(p, end - 1))) end--;
    text_putn(p->out, p->source->text + (comment->span.begin - p->source->begin),
              end - comment->span.begin);
    p->last = comment->span.end;
    p->comment++;
}

/* Behind the line that is being written. */
static void put_trailing(Printer *p, const Comment *comment) {
    Trailing *before = p->trailing.len ? &p->trailing.at[p->trailing.len - 1] : NULL;
    if (before && before->line == p->line) {
        text_put(p->out, " ");
    } else {
        Trailing trailing = {p->out->len, p->line, (uint32_t)p->out->len - p->line_begin};
        vec_push(p->arena, &p->trailing, trailing);
    }
    put_comment(p, comment);
}

static void put_alone(Printer *p, const Comment *comment, uint32_t indent) {
    put_spaces(p, indent);
    put_comment(p, comment);
    end_line(p);
}

/* The comments above something, each on its line, with the blank lines around them. `first`:
 * nothing stands above in this block. Returns whether something does now. */
static bool put_above(Printer *p, uint32_t begin, uint32_t end, uint32_t indent, bool first) {
    const Comment *comment;
    while ((comment = pending(p, begin))) {
        if (!first && blank_line_between(p, p->last, comment->span.begin)) end_line(p);
        put_alone(p, comment, indent);
        first = false;
    }
    if (!first && blank_line_between(p, p->last, begin)) end_line(p);
    while ((comment = pending(p, end))) put_alone(p, comment, indent);
    return first;
}

/* ---- one statement ----------------------------------------------------------------------------
 */

/* The break to use when what follows `from` does not fit: of the best ones the last that does, else
 * the first. NULL when there is none. */
static const Break *choose_break(const Flat *flat, uint32_t from, size_t limit) {
    const Break *best = NULL;
    for (uint32_t i = from; i < flat->breaks.len; i++) {
        const Break *brk = &flat->breaks.at[i];
        if (brk->at > limit) return best ? best : brk;
        if (!best || brk->depth <= best->depth) best = brk;
    }
    return best;
}

static uint32_t arrow_column(const Flat *flat, uint32_t indent) {
    for (uint32_t i = 0; i < flat->breaks.len; i++) {
        size_t column = indent + flat->breaks.at[i].at + 1;
        if (flat->breaks.at[i].arrow) return column <= MAX_ARROW ? (uint32_t)column : indent + 8;
    }
    return indent;
}

/* Comments between the lines of a pipe. */
static void put_between(Printer *p, const Break *brk, uint32_t indent) {
    const Comment *comment;
    bool alone = false;
    while (brk->arrow && (comment = pending(p, brk->source_at))) {
        if (!comment->alone && !alone) {
            put_trailing(p, comment);
            continue;
        }
        end_line(p);
        put_spaces(p, indent);
        put_comment(p, comment);
        alone = true;
    }
    end_line(p);
    put_spaces(p, indent);
}

static void lay_out(Printer *p, const Flat *flat, uint32_t indent) {
    const char *text = text_string(&flat->text);
    uint32_t next = 0, column = indent, arrows = arrow_column(flat, indent);
    put_spaces(p, indent);
    for (size_t at = 0;;) {
        uint32_t forced = next;
        while (forced < flat->breaks.len && !flat->breaks.at[forced].forced) forced++;
        const Break *brk = forced < flat->breaks.len ? &flat->breaks.at[forced] : NULL;
        size_t end = brk ? brk->at : flat->text.len, room = LINE_WIDTH - column;
        if (end - at > room) {
            const Break *chosen = choose_break(flat, next, at + room);
            if (chosen && (!brk || chosen < brk)) brk = chosen;
        }
        end = brk ? brk->at : flat->text.len;
        text_putn(p->out, text + at, end - at);
        if (!brk) return;
        column = brk->arrow ? arrows : indent + INDENT;
        put_between(p, brk, column);
        next = (uint32_t)(brk - flat->breaks.at) + 1;
        at = end + 1;
    }
}

/* Where a comment inside the statement can no longer stay where it is: behind the first line's
 * pipe. */
static uint32_t hoisted_end(const Flat *flat, const Tree *tree) {
    for (uint32_t i = 0; i < flat->breaks.len; i++)
        if (flat->breaks.at[i].arrow) return tree->span.begin;
    return tree->span.end;
}

static void force_at_comments(const Printer *p, Flat *flat, const Tree *tree) {
    uint32_t n = p->comment;
    for (uint32_t i = 0; p->file && i < flat->breaks.len; i++) {
        Break *brk = &flat->breaks.at[i];
        if (!brk->arrow) continue;
        while (n < p->file->comments.len && p->file->comments.at[n].span.begin < tree->span.begin)
            n++;
        if (n >= p->file->comments.len || p->file->comments.at[n].span.begin >= brk->source_at)
            continue;
        brk->forced = true;
        while (n < p->file->comments.len && p->file->comments.at[n].span.begin < brk->source_at)
            n++;
    }
}

/* Ends the line of what ends, in the source, at `end`, with the comments behind it. */
static void finish(Printer *p, uint32_t end) {
    const Comment *comment;
    while ((comment = pending(p, end))) put_trailing(p, comment);
    p->last = end;
    uint32_t behind = end;
    while ((comment = pending(p, UINT32_MAX)) && stands_behind(p, behind, comment)) {
        put_trailing(p, comment);
        behind = comment->span.end;
    }
    end_line(p);
}

/* ---- blocks -------------------------------------------------------------------------------------
 */

static void print_statements(Printer *p, TreeList list, uint32_t indent, bool first);

static bool is_block(const Tree *tree) {
    switch (tree->kind) {
    case T_LAYER:
    case T_OPTIMIZER:
    case T_METRIC:
    case T_INIT: return tree->def.value == NULL;
    case T_MODEL:
    case T_DATA:
    case T_TRAIN:
    case T_REPEAT: return true;
    default: return false;
    }
}

static TreeList body_of(const Tree *tree) {
    if (tree->kind == T_TRAIN) return tree->train.settings;
    return tree->kind == T_REPEAT ? tree->repeat.body : tree->def.body;
}

static bool newline_inside(const Printer *p, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++)
        if (source_char(p, i) == '\n') return true;
    return false;
}

/* A block that was written in one line, with one statement or only settings, stays so. */
static bool try_one_line(Printer *p, const Flat *head, const Tree *tree, uint32_t indent) {
    TreeList body = body_of(tree);
    bool settings = tree->kind == T_TRAIN;
    uint32_t from = body.len ? body.at[0]->span.begin : tree->span.begin;
    bool fits = body.len == 0 || settings || (body.len == 1 && !is_block(body.at[0]));
    if (!fits || pending(p, tree->span.end)) return false;
    if (body.len && (!p->source || newline_inside(p, from, tree->span.end))) return false;
    if (body.len && newline_inside(p, tree->span.begin, from)) return false;
    Flat flat = flat_new(p->arena, NULL);
    text_put(&flat.text, text_string(&head->text));
    text_put(&flat.text, body.len ? " { " : " {");
    for (uint32_t i = 0; i < body.len; i++) {
        if (i) text_put(&flat.text, ", ");
        flat_statement(&flat, body.at[i], (Columns){0, 0});
    }
    text_put(&flat.text, body.len ? " }" : "}");
    if (body.len && indent + flat.text.len > LINE_WIDTH) return false;
    flat.breaks.len = 0;
    lay_out(p, &flat, indent);
    return true;
}

/* Settings: the lines of the source, commas inside a line. */
static void print_settings(Printer *p, const Tree *tree, uint32_t indent) {
    TreeList list = tree->train.settings;
    bool first = true;
    for (uint32_t i = 0; i < list.len;) {
        const Tree *setting = list.at[i];
        put_above(p, setting->span.begin, setting->span.end, indent, first);
        first = false;
        Flat flat = flat_new(p->arena, NULL);
        flat_statement(&flat, setting, (Columns){0, 0});
        for (i++; i < list.len && p->source; i++) {
            const Tree *next = list.at[i];
            if (pending(p, next->span.end) ||
                newline_inside(p, setting->span.end, next->span.begin))
                break;
            Break brk = {.at = flat.text.len + 1};
            text_put(&flat.text, ", ");
            vec_push(p->arena, &flat.breaks, brk);
            flat_statement(&flat, next, (Columns){0, 0});
            setting = next;
        }
        lay_out(p, &flat, indent);
        finish(p, setting->span.end);
    }
}

static void print_block(Printer *p, const Tree *tree, const Flat *head, uint32_t indent) {
    if (try_one_line(p, head, tree, indent)) {
        finish(p, tree->span.end);
        return;
    }
    TreeList body = body_of(tree);
    Flat open = *head;
    text_put(&open.text, " {");
    lay_out(p, &open, indent);
    uint32_t begin = body.len ? body.at[0]->span.begin : tree->span.end;
    const Comment *comment;
    while ((comment = pending(p, begin)) && !comment->alone) put_trailing(p, comment);
    end_line(p);
    if (tree->kind == T_TRAIN)
        print_settings(p, tree, indent + INDENT);
    else
        print_statements(p, body, indent + INDENT, true);
    put_above(p, tree->span.end, tree->span.end, indent + INDENT, body.len == 0);
    put_spaces(p, indent);
    text_put(p->out, "}");
    finish(p, tree->span.end);
}

/* ---- columns
 * -------------------------------------------------------------------------------------- */

/* Statements of one class line up their keywords; 0 is none. */
static int word_class(const Tree *tree) {
    switch (tree->kind) {
    case T_INPUT:
    case T_TARGET:
    case T_PARAM:
    case T_STATE:
    case T_OUTPUT: return 1;
    case T_EQUATION: return tree->equation.is_output ? 1 : 0;
    case T_LOSS:
    case T_METRIC_USE:
    case T_OPTIMIZER_USE: return 2;
    case T_SOURCE:
    case T_SCALE:
    case T_STANDARDIZE:
    case T_SPLIT:
    case T_MISSING: return 3;
    default: return 0;
    }
}

/* Statements of one class line up what follows their left sides. */
static int left_class(const Tree *tree) {
    switch (tree->kind) {
    case T_PARAM: return 1;
    case T_EQUATION: return tree->equation.is_output ? 0 : 2;
    case T_COLUMNS: return 3;
    case T_FN: return 4;
    case T_LAYER:
    case T_METRIC:
    case T_INIT: return tree->def.value ? 5 + (int)tree->kind : 0;
    default: return 0;
    }
}

/* Nothing stands between two statements, and no comment inside the second. */
static bool adjacent(const Printer *p, uint32_t comment, const Tree *a, const Tree *b) {
    if (!p->source) return true;
    if (blank_line_between(p, a->span.end, b->span.begin)) return false;
    uint32_t behind = a->span.end;
    for (; comment < p->file->comments.len; comment++) {
        const Comment *c = &p->file->comments.at[comment];
        if (c->span.begin >= b->span.end) return true;
        if (c->span.begin < a->span.end) continue;
        if (c->span.begin > b->span.begin || !stands_behind(p, behind, c)) return false;
        behind = c->span.end;
    }
    return true;
}

/* One entry for each statement: the columns of its run. */
static Columns *find_columns(Printer *p, TreeList list) {
    Columns *columns = ARENA_ARRAY(p->arena, Columns, list.len + 1);
    uint32_t word_run = 0, left_run = 0, comment = p->comment;
    for (uint32_t i = 0; i < list.len; i++) {
        const Tree *tree = list.at[i], *before = i ? list.at[i - 1] : NULL;
        while (p->file && before && comment < p->file->comments.len &&
               p->file->comments.at[comment].span.begin < before->span.end)
            comment++;
        bool next = before && adjacent(p, comment, before, tree);
        if (!next || !word_class(tree) || word_class(tree) != word_class(before)) word_run = i;
        uint32_t left = left_class(tree) ? statement_left(p->arena, tree) : 0;
        bool wide = left > MAX_LEFT, was_wide = left_run < i && columns[i - 1].left == 0;
        if (!next || !left || wide || was_wide || left_class(tree) != left_class(before))
            left_run = i;
        columns[i] = (Columns){(uint32_t)strlen(statement_word(tree)), wide ? 0 : left};
        if (!word_class(tree)) columns[i].word = 0;
        for (uint32_t k = word_run; k < i; k++)
            if (columns[k].word < columns[i].word) columns[k].word = columns[i].word;
        for (uint32_t k = left_run; k < i; k++)
            if (columns[k].left < columns[i].left) columns[k].left = columns[i].left;
        if (word_run < i && columns[word_run].word > columns[i].word)
            columns[i].word = columns[word_run].word;
        if (left_run < i && columns[left_run].left > columns[i].left)
            columns[i].left = columns[left_run].left;
    }
    return columns;
}

static void print_statements(Printer *p, TreeList list, uint32_t indent, bool first) {
    Columns *columns = find_columns(p, list);
    for (uint32_t i = 0; i < list.len; i++) {
        const Tree *tree = list.at[i];
        Flat flat = flat_new(p->arena, p->source);
        flat_statement(&flat, tree, columns[i]);
        bool block = is_block(tree);
        if (!p->source && i && indent == 0 && (block || is_block(list.at[i - 1]))) end_line(p);
        uint32_t begin = tree->span.begin;
        put_above(p, begin, block ? begin : hoisted_end(&flat, tree), indent, first);
        first = false;
        if (block) {
            print_block(p, tree, &flat, indent);
            continue;
        }
        force_at_comments(p, &flat, tree);
        lay_out(p, &flat, indent);
        finish(p, tree->span.end);
    }
}

/* ---- whole files
 * ----------------------------------------------------------------------------------- */

/* Comments behind neighbouring lines stand in one column. */
static const char *align_trailing(const Printer *p) {
    Text aligned = text_new(p->arena);
    const char *text = text_string(p->out);
    size_t copied = 0;
    for (uint32_t i = 0; i < p->trailing.len;) {
        uint32_t end = i + 1, column = p->trailing.at[i].column;
        while (end < p->trailing.len &&
               p->trailing.at[end].line == p->trailing.at[end - 1].line + 1) {
            if (p->trailing.at[end].column > column) column = p->trailing.at[end].column;
            end++;
        }
        for (; i < end; i++) {
            const Trailing *trailing = &p->trailing.at[i];
            text_putn(&aligned, text + copied, trailing->at - copied);
            copied = trailing->at;
            for (uint32_t k = trailing->column; k < column + 2; k++) text_put(&aligned, " ");
        }
    }
    text_put(&aligned, text + copied);
    return text_string(&aligned);
}

const char *syntax_print(Ctx *ctx, const SyntaxFile *file) {
    Text out = text_new(ctx->arena);
    Printer p = {.arena = ctx->arena,
                 .source = source_of(&ctx->sources, file->tree->span),
                 .file = file,
                 .out = &out};
    print_statements(&p, file->tree->file.items, 0, true);
    put_above(&p, file->tree->span.end + 1, file->tree->span.end + 1, 0, p.line == 0);
    while (out.len > 1 && out.at[out.len - 1] == '\n' && out.at[out.len - 2] == '\n')
        out.at[--out.len] = 0;
    return align_trailing(&p);
}

void syntax_print_tree(Text *out, const Tree *tree) {
    Printer p = {.arena = out->arena, .out = out};
    if (tree->kind == T_FILE) {
        print_statements(&p, tree->file.items, 0, true);
        return;
    }
    Flat flat = flat_new(out->arena, NULL);
    if (is_block(tree)) {
        TreeList one = {
            .at = (Tree **)arena_copy(out->arena, &tree, sizeof tree), .len = 1, .cap = 1};
        print_statements(&p, one, 0, true);
        return;
    }
    flat_statement(&flat, tree, (Columns){0, 0});
    text_put(out, text_string(&flat.text));
}
