using System.Collections.Concurrent;
using System.Reflection;

namespace Agent.Tests.Simulation.Host;

/// <summary>How many objects something holds, and of which types: what a process never lets go grows here.</summary>
internal static class Held
{
    private static readonly ConcurrentDictionary<Type, FieldInfo[]> Fields = [];

    /// <param name="root">Where to begin.</param>
    /// <param name="isOutside">Objects that are somebody else's.</param>
    /// <returns>Objects by the name of their type; strings and boxed values too.</returns>
    public static SortedDictionary<string, int> By(object root, Func<object, bool> isOutside)
    {
        var counts = new SortedDictionary<string, int>(StringComparer.Ordinal);
        var seen = new HashSet<object>(ReferenceEqualityComparer.Instance);
        var open = new Stack<object>([root]);
        while (open.TryPop(out object? one))
        {
            if (one is Type or MemberInfo or Assembly or Thread or Pointer || isOutside(one) || !seen.Add(one))
            {
                continue;
            }

            Type type = one.GetType();
            counts[type.Name] = counts.GetValueOrDefault(type.Name) + 1;
            if (one is Array array)
            {
                if (!type.GetElementType()!.IsPrimitive)
                {
                    foreach (object? item in array)
                    {
                        Push(open, item);
                    }
                }
            }
            else if (one is not string)
            {
                foreach (FieldInfo field in Fields.GetOrAdd(type, FieldsOf))
                {
                    Push(open, field.GetValue(one));
                }
            }
        }

        return counts;
    }

    private static void Push(Stack<object> open, object? value)
    {
        if (value is not null && !value.GetType().IsPrimitive && !value.GetType().IsEnum)
        {
            open.Push(value);
        }
    }

    private static FieldInfo[] FieldsOf(Type type)
    {
        var fields = new List<FieldInfo>();
        for (Type? at = type; at is not null; at = at.BaseType)
        {
            fields.AddRange(at.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic
                | BindingFlags.DeclaredOnly).Where(field => !field.FieldType.IsPrimitive && !field.FieldType.IsEnum
                    && !field.FieldType.IsPointer && !field.FieldType.IsByRefLike));
        }

        return [.. fields];
    }
}
