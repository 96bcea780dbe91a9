#!/usr/bin/env python3
"""Writes the data of the demo expert set as FANN .data files.

    export_data.py OUT WORK

OUT gets NAME.test.data (held-out rows) and NAME.calibration.data (the first training rows), the files that are
committed beside the networks. WORK gets NAME.train.data and routing.heldout.data, which only the trainer reads.

Every task draws from its own RandomState, whose streams NumPy keeps stable between releases, so the files are the
same on every machine. Training and held-out rows never share an image, a flower, a patient, a number or a sentence.
"""

import itertools
import math
import sys
from pathlib import Path

import numpy as np
from sklearn import datasets

CALIBRATION_ROWS = 120
TEST_ROWS = 300


def decimal(value, digits):
    """Shortest text of value rounded to so many digits: integers stay integers, as FANN writes them."""
    text = f"{value:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def write_data(path, inputs, outputs, digits):
    lines = [f"{len(inputs)} {len(inputs[0])} {len(outputs[0])}"]
    for row, target in zip(inputs, outputs):
        lines.append(" ".join(decimal(v, digits) for v in row))
        lines.append(" ".join(decimal(v, digits) for v in target))
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def write_task(out, work, name, train, test, digits=0, calibration_rows=CALIBRATION_ROWS, test_rows=TEST_ROWS):
    """train and test are (inputs, outputs); the order of the training rows is already random."""
    write_data(work / f"{name}.train.data", *train, digits)
    write_data(out / f"{name}.calibration.data", *(part[:calibration_rows] for part in train), digits)
    write_data(out / f"{name}.test.data", *(part[:test_rows] for part in test), digits)


def one_hot(classes, count):
    return np.eye(count, dtype=int)[np.asarray(classes, dtype=int)]


def shuffled(random, *arrays):
    order = random.permutation(len(arrays[0]))
    return tuple(np.asarray(array)[order] for array in arrays)


def stratified_split(random, inputs, classes, held_out):
    """Holds out the same share of every class."""
    inputs, classes = shuffled(random, inputs, classes)
    test = np.zeros(len(classes), dtype=bool)
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        test[members[: round(len(members) * held_out)]] = True
    return (inputs[~test], classes[~test]), (inputs[test], classes[test])


# Digits: 8x8 images under six conditions. The router sees the same 64 pixels as the experts.

HELD_OUT_DIGITS = 600
MIXED_TEST_ROWS = 396

CONDITIONS = {
    "upright": lambda image, random: image,
    "quarter_turn": lambda image, random: np.rot90(image, -1),
    "upside_down": lambda image, random: np.rot90(image, 2),
    "mirrored": lambda image, random: np.fliplr(image),
    "inverted": lambda image, random: 1.0 - image,
    "noisy": lambda image, random: np.clip(image + random.normal(0.0, 0.25, image.shape), 0.0, 1.0),
}


def export_digits(out, work):
    random = np.random.RandomState(101)
    digits = datasets.load_digits()
    images, classes = shuffled(random, digits.images / 16.0, digits.target)
    targets = one_hot(classes, 10)
    split = len(images) - HELD_OUT_DIGITS

    seen = {}
    for name, change in CONDITIONS.items():
        seen[name] = np.array([change(image, random).reshape(64) for image in images])
        write_task(out, work, f"digits_{name}", (seen[name][:split], targets[:split]),
                   (seen[name][split:], targets[split:]), digits=2)

    # The mixture: every training image under every condition; held out, row i shows image i under condition i mod 6.
    stack = np.stack(list(seen.values()))
    count = len(CONDITIONS)
    condition = np.repeat(np.arange(count), split)
    train = shuffled(random, stack[:, :split].reshape(-1, 64), np.tile(targets[:split], (count, 1)),
                     one_hot(condition, count))
    rows = np.arange(MIXED_TEST_ROWS)
    test_inputs = stack[rows % count, split + rows]
    for name, train_target, test_target in (
            ("digits_generalist", train[1], targets[split + rows]),
            ("router", train[2], one_hot(rows % count, count))):
        write_task(out, work, name, (train[0], train_target), (test_inputs, test_target), digits=2,
                   calibration_rows=180, test_rows=MIXED_TEST_ROWS)
    write_data(work / "routing.heldout.data", stack[:, split:].reshape(-1, 64), np.tile(targets[split:], (count, 1)), 2)


# The tabular sets, in their own units: the networks carry the scaling where they need one.

def export_tables(out, work):
    for seed, name, load, digits, classes in ((201, "iris", datasets.load_iris, 1, 3),
                                              (202, "wine", datasets.load_wine, 2, 3),
                                              (203, "breast_cancer", datasets.load_breast_cancer, 6, 2)):
        random = np.random.RandomState(seed)
        table = load()
        train, test = stratified_split(random, table.data, table.target, 0.3)
        write_task(out, work, name, (train[0], one_hot(train[1], classes)), (test[0], one_hot(test[1], classes)),
                   digits=digits)

    random = np.random.RandomState(204)
    table = datasets.load_diabetes(scaled=False)
    inputs, outputs = shuffled(random, table.data, table.target.reshape(-1, 1))
    write_task(out, work, "diabetes", (inputs[:310], outputs[:310]), (inputs[310:], outputs[310:]), digits=4)


# Generated tasks.

def export_waves(out, work):
    """Height of the water where the rings of two sources at (-0.5, 0) and (0.5, 0) meet."""
    random = np.random.RandomState(301)
    inputs, outputs = [], []
    for _ in range(1800):
        x, y = round(random.uniform(-1.0, 1.0), 3), round(random.uniform(-1.0, 1.0), 3)
        inputs.append([x, y])
        outputs.append([sum(math.sin(7.0 * math.hypot(x - source, y)) for source in (-0.5, 0.5)) / 2.0])
    write_task(out, work, "waves", (inputs[:1500], outputs[:1500]), (inputs[1500:], outputs[1500:]), digits=4)


def export_spirals(out, work):
    random = np.random.RandomState(302)
    inputs, classes = [], []
    for _ in range(900):
        arm = random.randint(2)
        turn = math.sqrt(random.uniform(0.02, 1.0))
        angle = turn * 1.5 * 2.0 * math.pi + arm * math.pi
        inputs.append([turn * math.cos(angle) + random.normal(0.0, 0.02),
                       turn * math.sin(angle) + random.normal(0.0, 0.02)])
        classes.append(arm)
    targets = one_hot(classes, 2)
    write_task(out, work, "spirals", (inputs[:600], targets[:600]), (inputs[600:], targets[600:]), digits=3)


def export_arm(out, work):
    """Two links of 1.0 and 0.7; the elbow bends to one side, so the target has exactly one answer."""
    random = np.random.RandomState(303)
    inputs, outputs = [], []
    for _ in range(1500):
        shoulder = random.uniform(-1.2, 1.2)
        elbow = random.uniform(0.4, 2.6)
        inputs.append([math.cos(shoulder) + 0.7 * math.cos(shoulder + elbow),
                       math.sin(shoulder) + 0.7 * math.sin(shoulder + elbow)])
        outputs.append([shoulder, elbow])
    write_task(out, work, "arm", (inputs[:1200], outputs[:1200]), (inputs[1200:], outputs[1200:]), digits=4)


RV32_OPCODES = {"load": 0x03, "op-imm": 0x13, "auipc": 0x17, "store": 0x23, "op": 0x33, "lui": 0x37,
                "branch": 0x63, "jalr": 0x67, "jal": 0x6F, "system": 0x73}


def export_rv32(out, work):
    random = np.random.RandomState(304)
    opcodes = list(RV32_OPCODES.values())
    inputs, classes = [], []
    words = set()
    while len(words) < 2000:
        label = random.randint(len(opcodes) + 1)
        opcode = opcodes[label] if label < len(opcodes) else random.randint(128)
        if label == len(opcodes) and opcode in opcodes:
            continue
        word = (int(random.randint(1 << 25)) << 7) | opcode
        if word in words:
            continue
        words.add(word)
        inputs.append([(word >> bit) & 1 for bit in range(32)])
        classes.append(label)
    targets = one_hot(classes, len(opcodes) + 1)
    write_task(out, work, "rv32", (inputs[:1600], targets[:1600]), (inputs[1600:], targets[1600:]))


def export_recall(out, work):
    """Three (key, value) pairs and a question: four keys, of which three occur, and four values."""
    random = np.random.RandomState(305)
    rows = []
    for keys in itertools.permutations(range(4), 3):
        for values in itertools.product(range(4), repeat=3):
            rows.extend((keys, values, asked) for asked in range(3))
    random.shuffle(rows)
    eye = np.eye(4, dtype=int)
    inputs = [np.concatenate([part for key, value in zip(keys, values) for part in (eye[key], eye[value])] +
                             [eye[keys[asked]]]) for keys, values, asked in rows]
    targets = one_hot([values[asked] for _, values, asked in rows], 4)
    write_task(out, work, "recall", (inputs[:3200], targets[:3200]), (inputs[3200:], targets[3200:]))


# Text as 96 slots: slot (FNV-1a of the trigram) mod 96 is 1 if the trigram occurs in "^text$".

SLOTS = 96


def trigram_slots(text):
    padded = f"^{text}$"
    slots = [0] * SLOTS
    for start in range(len(padded) - 2):
        code = 0x811C9DC5
        for byte in padded[start:start + 3].encode("ascii"):
            code = ((code ^ byte) * 0x01000193) & 0xFFFFFFFF
        slots[code % SLOTS] = 1
    return slots


def english(n):
    ones = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen").split()
    tens = ". . twenty thirty forty fifty sixty seventy eighty ninety".split()
    if n >= 1000:
        return english(n // 1000) + " thousand" + (" " + english(n % 1000) if n % 1000 else "")
    if n >= 100:
        return ones[n // 100] + " hundred" + (" " + english(n % 100) if n % 100 else "")
    if n < 20:
        return ones[n]
    return tens[n // 10] + ("-" + ones[n % 10] if n % 10 else "")


def german(n):
    ones = ("null eins zwei drei vier fuenf sechs sieben acht neun zehn elf zwoelf dreizehn vierzehn fuenfzehn "
            "sechzehn siebzehn achtzehn neunzehn").split()
    tens = ". . zwanzig dreissig vierzig fuenfzig sechzig siebzig achtzig neunzig".split()
    if n >= 100:
        head = "ein" if n // 100 == 1 else ones[n // 100]
        return head + "hundert" + (german(n % 100) if n % 100 else "")
    if n < 20:
        return ones[n]
    unit = "ein" if n % 10 == 1 else ones[n % 10]
    return (unit + "und" if n % 10 else "") + tens[n // 10]


def french(n):
    ones = ("zero un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept "
            "dix-huit dix-neuf").split()
    tens = ". . vingt trente quarante cinquante soixante soixante quatre-vingt quatre-vingt".split()
    if n >= 100:
        head = "cent" if n // 100 == 1 else ones[n // 100] + " cent"
        if n % 100 == 0:
            return head if n == 100 else head + "s"
        return head + " " + french(n % 100)
    if n < 20:
        return ones[n]
    ten = n // 10
    rest = n % 20 if ten in (7, 9) else n % 10
    if ten == 8 and rest == 0:
        return "quatre-vingts"
    if rest == 0:
        return tens[ten]
    if rest in (1, 11) and ten < 8:
        return tens[ten] + " et " + ones[rest]
    return tens[ten] + "-" + ones[rest]


def spanish(n):
    ones = ("cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis "
            "diecisiete dieciocho diecinueve veinte veintiuno veintidos veintitres veinticuatro veinticinco "
            "veintiseis veintisiete veintiocho veintinueve").split()
    tens = ". . . treinta cuarenta cincuenta sesenta setenta ochenta noventa".split()
    hundreds = (". ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos "
                "novecientos").split()
    if n == 100:
        return "cien"
    if n > 100:
        return hundreds[n // 100] + (" " + spanish(n % 100) if n % 100 else "")
    if n < 30:
        return ones[n]
    return tens[n // 10] + (" y " + ones[n % 10] if n % 10 else "")


def italian(n):
    ones = ("zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici "
            "sedici diciassette diciotto diciannove").split()
    tens = ". . venti trenta quaranta cinquanta sessanta settanta ottanta novanta".split()
    if n >= 100:
        head = "cento" if n // 100 == 1 else ones[n // 100] + "cento"
        return head + (italian(n % 100) if n % 100 else "")
    if n < 20:
        return ones[n]
    ten = tens[n // 10]
    if n % 10 in (1, 8):
        ten = ten[:-1]
    return ten + (ones[n % 10] if n % 10 else "")


LANGUAGES = (english, german, french, spanish, italian)


def export_number_language(out, work):
    """Twelve letters cut out of a number's name, often in the middle of words."""
    random = np.random.RandomState(401)
    numbers = random.permutation(1000)

    def rows(part, cuts):
        seen = {}
        for number in part:
            for label, speak in enumerate(LANGUAGES):
                name = speak(int(number))
                for _ in range(cuts):
                    start = random.randint(max(1, len(name) - 11))
                    seen.setdefault(name[start:start + 12], set()).add(label)
        clear = sorted((text, next(iter(labels))) for text, labels in seen.items() if len(labels) == 1)
        random.shuffle(clear)
        return clear

    train = rows(numbers[:700], 2)
    known = {text for text, _ in train}
    test = [row for row in rows(numbers[700:], 1) if row[0] not in known]
    write_task(out, work, "number_language", *(([trigram_slots(text) for text, _ in part],
                                                one_hot([label for _, label in part], 5)) for part in (train, test)))


TOOL_REQUESTS = {
    "calculator": (["what is {n} times {m}", "add {n} and {m}", "multiply {n} by {m}", "how much is {n} minus {m}",
                    "what is {n} percent of {m}", "divide {m} by {n} please", "work out {n} plus {m}",
                    "the square root of {m}", "i need the sum of {n} and {m}", "compute {n} times {m}"]),
    "calendar": (["set a meeting with {who} on {day}", "what is on my schedule for {day}",
                  "move my {day} appointment with {who}", "remind me to call {who} on {day}",
                  "book an hour with {who} on {day}", "cancel the meeting on {day}",
                  "am i free on {day} to see {who}", "when is my next appointment with {who}",
                  "schedule lunch with {who} for {day}", "put the {day} deadline in my calendar"]),
    "weather": (["will it rain in {city} on {day}", "how cold is it in {city}", "do i need an umbrella in {city}",
                 "what is the forecast for {city}", "how warm does {city} get on {day}", "is it windy in {city} today",
                 "will there be snow in {city} on {day}", "temperature in {city} right now",
                 "is it sunny in {city} on {day}", "weather for {day} in {city}"]),
    "search": (["who wrote {book}", "find articles about {topic}", "look up the history of {topic}",
                "search for {topic} in {city}", "tell me about {topic}", "where can i read {book}",
                "find a good book on {topic}", "who discovered {topic}", "look for shops that sell {book}",
                "what do people say about {topic}"]),
    "translate": (["how do you say {word} in {tongue}", "translate {word} into {tongue}", "what does {word} mean",
                   "say {word} in {tongue}", "the {tongue} word for {word}", "put {word} into {tongue} for me",
                   "how is {word} written in {tongue}", "give me {word} in {tongue} and back",
                   "i want to say {word} to a {tongue} speaker", "what is {word} called in {tongue}"]),
}
TOOL_WORDS = {
    "who": "anna omar julia pedro nina ivan the_boss my_team".split(),
    "day": "monday tuesday wednesday thursday friday saturday sunday tomorrow".split(),
    "city": "lisbon oslo nairobi lima kyoto dublin cairo toronto".split(),
    "book": "hamlet walden emma ulysses dracula the_odyssey middlemarch candide".split(),
    "topic": "volcanoes bridges penicillin the_silk_road jazz comets coral_reefs chess".split(),
    "word": "bread water friend river window thank_you evening train".split(),
    "tongue": "french greek turkish danish swahili korean finnish arabic".split(),
}


def export_tool_picker(out, work):
    """Requests from templates; the last template and the last two fillers of each kind occur in held-out rows only."""
    random = np.random.RandomState(402)

    def rows(count, held_out):
        found = set()
        tools = list(TOOL_REQUESTS)
        while len(found) < count:
            label = random.randint(len(tools))
            templates = TOOL_REQUESTS[tools[label]]
            pick = random.randint(len(templates)) if held_out else random.randint(len(templates) - 1)
            slots = {kind: (words[6 + random.randint(2)] if held_out else words[random.randint(6)]).replace("_", " ")
                     for kind, words in TOOL_WORDS.items()}
            limit = (500, 1000) if held_out else (2, 500)
            slots.update(n=random.randint(*limit), m=random.randint(*limit))
            found.add((templates[pick].format(**slots), label))
        chosen = sorted(found)
        random.shuffle(chosen)
        return chosen

    write_task(out, work, "tool_picker", *(([trigram_slots(text) for text, _ in part],
                                            one_hot([int(label) for _, label in part], 5))
                                           for part in (rows(1200, False), rows(300, True))))


SPELLER_ALPHABET = "^ -.adefghilnorstuvwxy"
SPELLER_CONTEXT = 4


def export_speller(out, work):
    random = np.random.RandomState(403)
    numbers = 1 + random.permutation(9999)[:420]
    size = len(SPELLER_ALPHABET)

    def rows(part):
        inputs, nexts = [], []
        for number in part:
            text = "^" * SPELLER_CONTEXT + english(int(number)) + "."
            for end in range(SPELLER_CONTEXT, len(text)):
                letters = [SPELLER_ALPHABET.index(c) for c in text[end - SPELLER_CONTEXT:end]]
                inputs.append(one_hot(letters, size).reshape(-1))
                nexts.append(SPELLER_ALPHABET.index(text[end]))
        return shuffled(random, inputs, one_hot(nexts, size))

    write_task(out, work, "speller", rows(numbers[:120]), rows(numbers[120:]))


def main():
    out, work = Path(sys.argv[1]), Path(sys.argv[2])
    for export in (export_digits, export_tables, export_waves, export_spirals, export_arm, export_rv32,
                   export_recall, export_number_language, export_tool_picker, export_speller):
        export(out, work)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: export_data.py OUT WORK")
    main()
