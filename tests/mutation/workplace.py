"""The copy of the tree, its builds, and what they build where a bug is planted.

The builds are of the unchanged copy. A bug is planted beside it: in a folder with the one changed
file, which comes first on the include path of the sources that are compiled again. What is linked
is then their objects, and for the rest those of the build. So nothing is ever changed back. Most of
the time of a compiler is saved: headers of the toolkit and the standard library come precompiled,
and kernels are not optimized.
"""

import functools
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# All tests that a build has, in the order of ctest within a label.
LABELS = {'cpu': ['cpu'], 'device': ['emulated', 'watch', 'asan', 'cpu']}
PRESETS = {'cpu': ['--preset', 'cpu'], 'device': ['--preset', 'tests', '-DCULOSS_CUDA=ON']}

# Public functions for 16-bit types in a source, and instances of templates for them.
NARROW_FUNCTIONS = re.compile(
    r'^(?:status \w+\(\s*const cuda& where,\s*\w+<const (?:half|bf16)>.*?^}'
    r'|template status \w+\([^;]*<(?:half|bf16)>[^;]*;)\n', re.MULTILINE | re.DOTALL)


def sources(root):
    """All files of a tree, relative to it, without what is built in it."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if f not in ('.git', '__pycache__') and
                      not (folder == str(root) and f.startswith('build'))]
        found += [pathlib.Path(folder, f).relative_to(root) for f in files]
    return found


def copy_of_the_tree(tree):
    """Makes the copy equal to the tree; what is equal keeps its time, and its objects."""
    wanted = set(sources(ROOT))
    for path in wanted:
        text, copy = (ROOT / path).read_bytes(), tree / path
        if not copy.exists() or copy.read_bytes() != text:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, copy)
    for path in set(sources(tree)) - wanted:
        (tree / path).unlink()


def run_or_exit(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f'{" ".join(map(str, command))} failed:\n{done.stdout}{done.stderr}')
    return done.stdout


class Build:
    """One build of the unchanged copy."""

    def __init__(self, tree, name, limit):
        # In the copy as in the tree: a compiler cache finds in one what it knows of the other.
        self.tree, self.where, self.limit = tree, tree / 'build' / name, limit
        self.lock = threading.RLock()
        self.sound = {}  # whether a test passes here
        shutil.rmtree(self.where / 'headers', ignore_errors=True)
        run_or_exit(['cmake', *PRESETS[name], '-S', tree, '-B', self.where, '-DCULOSS_BENCH=OFF'])
        self.environment = {}  # of all tests
        for label in LABELS[name]:
            listed = run_or_exit(['ctest', '--test-dir', self.where, '--show-only=json-v1', '-L',
                                  f'^{label}$'])
            for test in json.loads(listed)['tests']:
                properties = {p['name']: p['value'] for p in test['properties']}
                self.environment[test['name']] = properties.get('ENVIRONMENT', [])
        # The schedules of the emulated device come after every test's first run.
        self.tests = sorted(self.environment, key=lambda test: test.count('.') > 1)
        steps = run_or_exit(['ninja', '-C', self.where, '-t', 'compdb'])
        steps = steps[steps.index('[\n'):]
        self.commands = {s['output']: shlex.split(s['command']) for s in json.loads(steps)}

    @staticmethod
    def executable(test):
        name, _, variant = test.partition('.')
        return f'tests/{name}' + (f'_{variant.partition(".")[0]}' if variant else '')

    @functools.lru_cache(maxsize=None)
    def make(self, executable):
        """Whether it could be built from the unchanged copy."""
        with self.lock:
            self.includes.cache_clear()
            return subprocess.run(['ninja', '-C', self.where, executable],
                                  capture_output=True).returncode == 0

    @functools.lru_cache(maxsize=None)
    def includes(self):
        """What each object is made of, as far as it is in the copy."""
        with self.lock:
            listed, of = run_or_exit(['ninja', '-C', self.where, '-t', 'deps']), {}
        for line in listed.splitlines():
            if line.startswith('    '):
                path = pathlib.Path(os.path.normpath(self.where / line.strip()))
                if path.is_relative_to(self.tree):
                    files.add(str(path.relative_to(self.tree)))
            elif ': #deps' in line:
                files = of[line.partition(':')[0]] = set()
        return of

    def objects(self, executable):
        """(its own objects, those that it takes from libraries of this build)"""
        def named(step):
            return [word for word in self.commands[step] if word.endswith('.o')]
        own = named(executable)
        libraries = [word for word in self.commands[executable]
                     if word.endswith('.a') and word in self.commands]
        return own, [o for library in libraries for o in named(library)]

    def finds(self, test, executable, chosen):
        """The first failure that is not one of the unchanged tree, too, or None."""
        while True:
            how = self.failure(test, executable, chosen)
            if how is None or self.is_sound(test, how, chosen):
                return how
            if not self.is_case(how):
                return None
            left_out = f'{chosen.get("GTEST_FILTER", "-")}:{how.split()[0]}'
            chosen = {**chosen, 'GTEST_FILTER': left_out}

    @staticmethod
    def is_case(how):
        return '.' in how.split()[0]

    def is_sound(self, test, how, chosen):
        """Whether what failed passes on the unchanged tree; if not, it finds nothing."""
        if self.is_case(how):
            chosen = {**chosen, 'GTEST_FILTER': how.split()[0]}
        key = ' '.join([test, *chosen.values()])
        with self.lock:
            if key not in self.sound:
                executable = self.where / self.executable(test)
                self.sound[key] = self.failure(test, executable, chosen) is None
            return self.sound[key]

    def headers(self, words):
        """What replaces the first include of a kernel: precompiled, with what all kernels include."""
        at = words.index('-include')
        every = set()
        for path in [*self.tree.glob('kernels/**/*.cuh'), *self.tree.glob('host/*.*')]:
            every |= set(re.findall('^#include <(?!culoss/).*>$', path.read_text(), re.MULTILINE))
        flags = words[:at] + words[at + 2:]
        with self.lock:
            header = self.where / 'headers' / f'{zlib.crc32(" ".join(flags).encode())}.h'
            if not header.exists():
                header.parent.mkdir(exist_ok=True)
                header.write_text('\n'.join([f'#include "{words[at + 1]}"', *sorted(every), '']))
                run_or_exit([*('c++-header' if w == 'c++' else w for w in flags), header, '-o',
                             f'{header}.gch'])
        return header

    def failure(self, test, executable, chosen):
        """The first failure in a test file, of the tests that the environment chooses, or None."""
        given = dict(e.split('=', 1) for e in self.environment[test])
        process = subprocess.Popen(
            [executable], cwd=self.where / 'tests', stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors='replace', start_new_session=True,
            env={**os.environ, **given, **chosen, 'GTEST_BREAK_ON_FAILURE': '1'})
        how = ''
        try:
            out = process.communicate(timeout=self.limit)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, how = process.communicate()[0], ' hangs'
        if process.returncode == 0:
            return None
        begun = re.findall(r'\[ RUN      \] (\S+)', out)
        if not how and ': Failure\n' not in out:
            how = ' crashes'
        return f'{begun[-1] if begun else "before its first test"}{how}'


class DoesNotCompile(Exception):
    pass


class Planted:
    """A bug in a build: `text` in place of a file's own, in all sources or in one of them alone, and
    there perhaps without what is for 16 bits: that comes from the library then."""

    def __init__(self, build, folder, file, text, source=None, narrow=True):
        self.build, self.folder, self.file, self.source = build, folder, file, source
        self.made = {}  # objects
        texts = {file: text}
        if source and not narrow:
            whole = texts.get(source, (build.tree / source).read_text())
            texts[source] = NARROW_FUNCTIONS.sub('', whole)
        for name, content in texts.items():
            place = folder / 'changed' / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)

    def executable(self, test):
        """With the bug; None if the test has nothing to do with the file."""
        name = self.build.executable(test)
        if not self.build.make(name):
            raise DoesNotCompile(f'{name} on the unchanged tree')
        own, members = self.build.objects(name)
        new = {o: self.object(o) for o in own + members if self.concerns(o)}
        if not new:
            return None
        words = [new.get(w, w) for w in self.build.commands[name] if w not in (':', '&&')]
        out = words[words.index('-o') + 1] = self.folder / pathlib.Path(name).name
        # Before all others: of what several define, inline functions too, the first one counts.
        first = next(i for i, word in enumerate(words) if str(word).endswith('.o'))
        words[first:first] = ['-Wl,--allow-multiple-definition',
                              *(new[o] for o in members if o in new)]
        self.run(words)
        return out

    def concerns(self, o):
        made_of = self.build.includes().get(o, ())
        return self.file in made_of and self.source in (None, *made_of)

    def object(self, o):
        if o not in self.made:
            words = list(self.build.commands[o])
            source = words.pop()
            # A kernel's shared memory is known by the name of its object.
            kind = '.cu.o' if source.endswith('.cu') else '.o'
            self.made[o] = out = self.folder / f'{len(self.made)}{kind}'
            if not words[1].startswith('-'):
                del words[0]  # a compiler cache, which does not know this text
            # A bug may leave a name unused.
            words = [w for w in words if w not in ('-c', '-MD', '-g1', '-Werror')]
            for option in ('-o', '-MT', '-MF'):
                del words[words.index(option):words.index(option) + 2]
            # Sanitizers would look at every variable of kernels that are not optimized.
            plain = source.endswith('.cu') and not any(w.startswith('-fsanit') for w in words)
            words.append('-O0' if plain else '-O1')
            if '-include' in words and source.endswith('.cu'):
                words[words.index('-include') + 1] = self.build.headers(words)
            changed = self.folder / 'changed'
            if (changed / os.path.relpath(source, self.build.tree)).exists():
                source = changed / os.path.relpath(source, self.build.tree)
            first = next(i for i, word in enumerate(words) if word.startswith('-I'))
            words[first:first] = [f'-I{changed}', f'-I{changed}/include']
            self.run([*words, '-o', out, '-c', source])
        return self.made[o]

    def run(self, words):
        done = subprocess.run(words, cwd=self.build.where, capture_output=True, text=True)
        if done.returncode != 0:
            (self.folder / 'compile.log').write_text(done.stdout + done.stderr)
            raise DoesNotCompile(f'{self.folder}/compile.log')
