"""Writes a Metaflow flow of so many steps that do nothing; Metaflow runs each in a process of its own."""
import sys

steps = int(sys.argv[1])
# Every flow has a start and an end.
names = ["start", *(f"s{number}" for number in range(1, steps - 1)), "end"]
print("from metaflow import FlowSpec, step\n\n\nclass Chain(FlowSpec):")
for name, then in zip(names, [*names[1:], None]):
    print(f"    @step\n    def {name}(self):\n        {f'self.next(self.{then})' if then else 'pass'}\n")
print('\nif __name__ == "__main__":\n    Chain()')
