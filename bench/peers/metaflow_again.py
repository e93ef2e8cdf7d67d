"""Writes a Metaflow flow of so many steps of which one fails while a file is there; Metaflow runs each in a process."""
import sys

steps, failing = int(sys.argv[1]), int(sys.argv[2])
# Every flow has a start and an end.
names = ["start", *(f"s{number}" for number in range(1, steps - 1)), "end"]
print("import pathlib\nfrom metaflow import FlowSpec, step\n\n\nclass Again(FlowSpec):")
for number, (name, then) in enumerate(zip(names, [*names[1:], None])):
    print(f"    @step\n    def {name}(self):\n        self.made = 'made {number}'")
    if number == failing:
        print("        assert not pathlib.Path('fails').exists()")
    print(f"        self.next(self.{then})\n" if then else "")
print('\nif __name__ == "__main__":\n    Again()')
