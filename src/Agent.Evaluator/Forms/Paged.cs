namespace Agent.Evaluator.Forms;

/// <summary>A list that grows without moving what is in it: nothing large is ever allocated or copied.</summary>
internal sealed class Paged<T>
{
    private const int PageBits = 10;
    private const int PageItems = 1 << PageBits;

    private readonly List<T[]> pages = [];

    public int Count { get; private set; }

    public ref T this[int index] => ref pages[index >> PageBits][index & PageItems - 1];

    public void Add(T item)
    {
        Reach(Count);
        this[Count - 1] = item;
    }

    /// <summary>Makes an index one that can be asked for; what is new has the default value.</summary>
    public void Reach(int index)
    {
        while (pages.Count * PageItems <= index)
        {
            pages.Add(new T[PageItems]);
        }

        Count = Math.Max(Count, index + 1);
    }
}
